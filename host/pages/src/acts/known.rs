//! All that a person can do about a run, each with the route of the API that it becomes a request to, and with its words.

use axum::http::Method;

/// Something that a person can do.
pub(crate) struct Act {
    /// In the path of its form.
    pub(crate) name: &'static str,
    /// The API's route.
    pub(crate) route: &'static str,
    /// How it is asked.
    pub(super) how: How,
    /// On its button.
    pub(crate) label: &'static str,
    /// What will happen.
    pub(crate) what: &'static str,
    /// What has happened.
    pub(super) done: &'static str,
    /// How much it looks like what is meant: `primary`, `danger`, or neither.
    pub(super) weight: &'static str,
}

/// The method of a route; a form is sent by `POST` whatever that is.
#[derive(Clone, Copy)]
pub(super) enum How {
    Post,
    Put,
    Delete,
}

impl Act {
    /// The method of its route.
    pub(crate) fn method(&self) -> Method {
        match self.how {
            How::Post => Method::POST,
            How::Put => Method::PUT,
            How::Delete => Method::DELETE,
        }
    }
}

const fn act(
    name: &'static str,
    route: &'static str,
    label: &'static str,
    weight: &'static str,
    what: &'static str,
    done: &'static str,
) -> Act {
    Act { name, route, how: How::Post, label, what, done, weight }
}

pub(crate) const RETRY: Act = act(
    "retry",
    "/v1/runs/{run}/retry",
    "Retry",
    "primary",
    "Opens the run again, with all its failed and parked steps, and what was stopped with them. Each goes on from its last \
     checkpoint.",
    "The run is open again.",
);
pub(crate) const CANCEL: Act = act(
    "cancel",
    "/v1/runs/{run}/cancel",
    "Cancel",
    "danger",
    "Stops the run. A retry opens it again.",
    "The run is cancelled.",
);
pub(super) const FAIL: Act = act(
    "fail",
    "/v1/runs/{run}/fail",
    "Fail",
    "danger",
    "Ends the run as failed, with a reason for its history. A retry opens it again.",
    "The run has failed, as you said.",
);
pub(crate) const PAUSE: Act = act(
    "pause",
    "/v1/runs/{run}/pause",
    "Pause",
    "",
    "Starts no new step of the run until it is unpaused. What runs goes on to its end; what waits keeps its time.",
    "The run is paused.",
);
pub(crate) const UNPAUSE: Act =
    act("unpause", "/v1/runs/{run}/unpause", "Unpause", "primary", "Lets start what is ready.", "The run goes on.");
pub(super) const RESUME: Act = act(
    "resume",
    "/v1/runs/{run}/resume",
    "Resume",
    "",
    "For a run that nobody moves: what its worker has left is taken over, what is past its time is woken, what is ready is \
     delivered again.",
    "The run was given a push.",
);
pub(super) const SIGNAL: Act = act(
    "signal",
    "/v1/runs/{run}/signals/{name}",
    "Send signal",
    "primary",
    "Sends a signal with what it carries. Without a step that waits for it, it waits for a step.",
    "The signal is sent.",
);
pub(super) const RETRY_STEP: Act = act(
    "retry-step",
    "/v1/runs/{run}/steps/{step}/retry",
    "Retry step",
    "primary",
    "Opens this step again: it goes on from its last checkpoint.",
    "The step is open again.",
);
pub(super) const RESUME_STEP: Act = act(
    "resume-step",
    "/v1/runs/{run}/steps/{step}/resume",
    "Resume step",
    "primary",
    "Lets the parked step go on.",
    "The step goes on.",
);
pub(super) const SKIP: Act = act(
    "skip",
    "/v1/runs/{run}/steps/{step}/skip",
    "Skip step",
    "",
    "Gives the step the output that it has not got. Those who need it go on with that.",
    "The step has the output that you gave.",
);

pub(super) const RETURN_SIGNAL: Act = act(
    "return-signal",
    "/v1/runs/{run}/inbox/{number}/return",
    "Return",
    "primary",
    "Puts the signal into the inbox again, as it is: the next step that waits for it takes it.",
    "The signal waits again.",
);
pub(super) const REPLACE_SIGNAL: Act = Act {
    how: How::Put,
    ..act(
        "replace-signal",
        "/v1/runs/{run}/inbox/{number}",
        "Replace",
        "",
        "Lets the signal carry something else. One that was rejected returns to the inbox.",
        "The signal carries what you gave.",
    )
};
pub(super) const REMOVE_SIGNAL: Act = Act {
    how: How::Delete,
    ..act(
        "remove-signal",
        "/v1/runs/{run}/inbox/{number}",
        "Take away",
        "danger",
        "Takes the signal away. Its key stays used.",
        "The signal is gone.",
    )
};

/// All of them.
pub(crate) const ALL: [&Act; 13] = [
    &RETRY,
    &CANCEL,
    &FAIL,
    &PAUSE,
    &UNPAUSE,
    &RESUME,
    &SIGNAL,
    &RETRY_STEP,
    &RESUME_STEP,
    &SKIP,
    &RETURN_SIGNAL,
    &REPLACE_SIGNAL,
    &REMOVE_SIGNAL,
];
