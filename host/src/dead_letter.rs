//! `pawl dead-letter`: steps that have failed for good or are parked, by what they died of, and what is done about many of them.
//!
//! What is done about many goes to the API in pieces. Stopped in between, it has done what it said; run again, it goes on: what
//! was done is no dead letter any more.

use std::io::{BufRead as _, IsTerminal as _};

use clap::{Args, Subcommand};
use pawl_api::client::Client;
use pawl_api::types::{
    ActOnDeadLetters, DeadLetterGroup, DeadLetterGroupList, DeadLetterList, DeadLetterState, DeadLetterVerb,
    DeadLettersDone, PipelineDetail, StepDetail,
};
use pawl_base::tell;
use pawl_base::terminal::ask;
use pawl_domain::pipeline_file::{closest, parse_duration_ms};

use self::show::Done;
use super::exit::{End, not_found, usage};
use super::input;
use super::output::{Output, now_ms, there_are_more};
use super::run::{Flagged, complete, run_id};

mod show;

/// Verbs of `pawl dead-letter`.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// What died, by pipeline, step and cause; with a filter, or --each, one by one, newest first
    #[command(
        after_help = "-o ids gives the ids of groups, which --group takes; with a filter or --each, those of runs.\n\n\
                            Examples:\n  pawl dead-letter list\n  pawl dead-letter list --group 3f9a0c11d2e4\n  \
                            pawl dead-letter list --each --since 1h -o ids"
    )]
    List {
        #[command(flatten)]
        filter: Filter,
        /// One by one
        #[arg(long)]
        each: bool,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        /// Only those before this one: the next page
        #[arg(long, value_name = "PLACE")]
        before: Option<String>,
    },
    /// One of them, with its error and what can be done
    Show {
        /// The run's id, or its first digits
        #[arg(value_parser = run_id)]
        run: String,
        /// The step
        #[arg(required = true)]
        step: Option<String>,
        #[command(flatten)]
        flagged: Flagged,
    },
    /// Open them again, to be tried from their last checkpoint
    #[command(after_help = "Examples:\n  pawl dead-letter retry --group 3f9a0c11d2e4 --latest --dry-run\n  \
                            pawl dead-letter retry --pipeline load --since 2h --yes")]
    Retry {
        #[command(flatten)]
        which: Which,
        /// On the versions that are active now
        #[arg(long)]
        latest: bool,
    },
    /// Let those go on that are parked
    Resume {
        #[command(flatten)]
        which: Which,
        /// On the versions that are active now
        #[arg(long)]
        latest: bool,
    },
    /// Give them an output: what needs them goes on with that
    #[command(after_help = "Example:\n  pawl dead-letter skip RUN load --with '{\"rows\": 0}'")]
    Skip {
        #[command(flatten)]
        which: Which,
        /// The output: JSON, @FILE, or - for standard input
        #[arg(long, value_name = "JSON|@FILE|-")]
        with: String,
    },
    /// End the runs of those that are parked, as failed
    Fail {
        #[command(flatten)]
        which: Which,
        /// Why, for the runs' histories
        #[arg(long, value_name = "TEXT")]
        message: String,
    },
    /// Forget those that have failed: nobody need look after them. Their runs stay as they are
    Purge {
        #[command(flatten)]
        which: Which,
    },
}

/// Which dead letters.
#[derive(Debug, Args)]
pub(super) struct Filter {
    /// Only those of this pipeline
    #[arg(long)]
    pipeline: Option<String>,
    /// Only those of this step
    #[arg(long = "step", value_name = "STEP")]
    of_step: Option<String>,
    /// Only those whose cause has this in it
    #[arg(long, value_name = "TEXT")]
    cause: Option<String>,
    /// Only those of this group, which `list` names
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Only those that have failed, or that are parked
    #[arg(long, value_name = "failed|parked")]
    state: Option<DeadLetterState>,
    /// Only those that died so long ago at most
    #[arg(long, value_name = "TIME", value_parser = parse_duration_ms)]
    since: Option<u64>,
}

impl Filter {
    fn is_empty(&self) -> bool {
        let Self { pipeline, of_step, cause, group, state, since } = self;
        [pipeline, of_step, cause, group].iter().all(|it| it.is_none()) && state.is_none() && since.is_none()
    }

    fn since_ms(&self) -> Option<i64> {
        self.since.map(|ago| now_ms().saturating_sub_unsigned(ago))
    }
}

/// About which of them something is done, and how.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// Only those of this run
    #[arg(value_parser = run_id)]
    run: Option<String>,
    /// Only this step
    step: Option<String>,
    #[command(flatten)]
    filter: Filter,
    /// All of them
    #[arg(long, conflicts_with_all = ["run", "pipeline", "of_step", "cause", "group", "state", "since"])]
    all: bool,
    /// Only say how many
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Carries out a verb.
pub(super) async fn run(verb: Verb, client: &Client, output: Output) -> anyhow::Result<()> {
    let (which, asked) = match verb {
        Verb::List { filter, each: false, limit, before: None } if filter.is_empty() => {
            return groups(limit, client, output).await;
        }
        Verb::List { filter, limit, before, .. } => return list(&filter, limit, before, client, output).await,
        Verb::Show { mut run, step, flagged } => {
            let step = flagged.must(step)?;
            complete(&mut run, client).await?;
            let path = ["v1", "runs", &run, "steps", &step];
            return Ok(output.print(&client.get::<StepDetail>(&path, &[]).await?)?);
        }
        Verb::Retry { which, latest } => (which, ActOnDeadLetters { latest, ..of(DeadLetterVerb::Retry) }),
        Verb::Resume { which, latest } => (which, ActOnDeadLetters { latest, ..of(DeadLetterVerb::Resume) }),
        Verb::Skip { which, with } => {
            let output = Some(input::json("--with", &with)?);
            (which, ActOnDeadLetters { output, ..of(DeadLetterVerb::Skip) })
        }
        Verb::Fail { which, message } => {
            (which, ActOnDeadLetters { message: Some(message), ..of(DeadLetterVerb::Fail) })
        }
        Verb::Purge { which } => (which, of(DeadLetterVerb::Purge)),
    };
    act(which, asked, client, output).await
}

async fn groups(limit: u32, client: &Client, output: Output) -> anyhow::Result<()> {
    let mut found = all_groups(client).await?;
    let left = found.groups.len().saturating_sub(limit as usize);
    found.groups.truncate(limit as usize);
    output.print(&found)?;
    if left > 0 {
        tell!("there are more: raise --limit by {left} for the smaller groups");
    }
    Ok(())
}

async fn all_groups(client: &Client) -> anyhow::Result<DeadLetterGroupList> {
    let path = ["v1", "dead-letters", "groups"];
    let mut found: DeadLetterGroupList = client.get(&path, &[]).await?;
    // The largest of all stand first, and not those of the first page.
    while let Some(next) = found.next.take() {
        let more: DeadLetterGroupList = client.get(&path, &[("after", &next)]).await?;
        for group in more.groups {
            match found.groups.iter_mut().find(|known| known.group == group.group) {
                None => found.groups.push(group),
                Some(known) => known.add(&group),
            }
        }
        found.next = more.next;
    }
    DeadLetterGroup::sort(&mut found.groups);
    Ok(found)
}

/// Nothing was found of what these name: whether there is such a group, pipeline and step. Who has misspelt one must not take
/// that for the good news that nothing has died.
async fn must_be_there(
    client: &Client,
    group: Option<&str>,
    pipeline: Option<&str>,
    step: Option<&str>,
) -> anyhow::Result<()> {
    if let Some(group) = group
        && all_groups(client).await?.groups.iter().all(|known| known.group != group)
    {
        return Err(not_found(format!(
            "there is no group {group} of dead letters, or none of it is left: `pawl dead-letter list` shows those that there are"
        )));
    }
    let Some(pipeline) = pipeline else { return Ok(()) };
    let detail: PipelineDetail = client.get(&["v1", "pipelines", pipeline], &[]).await?;
    match step {
        Some(step) if detail.steps.iter().all(|known| known.name != step) => {
            let meant = closest(step, detail.steps.iter().map(|known| known.name.as_str()));
            let meant = meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
            Err(not_found(format!("pipeline `{pipeline}` has no step `{step}`{meant}")))
        }
        _ => Ok(()),
    }
}

async fn list(
    filter: &Filter,
    limit: u32,
    mut before: Option<String>,
    client: &Client,
    output: Output,
) -> anyhow::Result<()> {
    let mut all = DeadLetterList { dead_letters: Vec::new(), next: None };
    let since = filter.since_ms().map(|ms| ms.to_string());
    loop {
        let left = (limit as usize - all.dead_letters.len()).to_string();
        let mut query = vec![("limit", left.as_str())];
        query.extend(filter.pipeline.as_deref().map(|pipeline| ("pipeline", pipeline)));
        query.extend(filter.of_step.as_deref().map(|step| ("step", step)));
        query.extend(filter.cause.as_deref().map(|cause| ("cause", cause)));
        query.extend(filter.group.as_deref().map(|group| ("group", group)));
        query.extend(filter.state.map(|state| ("state", state.as_str())));
        query.extend(since.as_deref().map(|since| ("since_ms", since)));
        query.extend(before.as_deref().map(|before| ("before", before)));
        let page: DeadLetterList = client.get(&["v1", "dead-letters"], &query).await?;
        all.dead_letters.extend(page.dead_letters);
        before = page.next;
        if before.is_none() || all.dead_letters.len() >= limit as usize {
            break;
        }
    }
    if all.dead_letters.is_empty() && before.is_none() {
        let Filter { group, pipeline, of_step, .. } = filter;
        must_be_there(client, group.as_deref(), pipeline.as_deref(), of_step.as_deref()).await?;
    }
    output.print(&all)?;
    if let Some(next) = before {
        there_are_more("--before", next);
    }
    Ok(())
}

fn of(verb: DeadLetterVerb) -> ActOnDeadLetters {
    ActOnDeadLetters {
        verb,
        run: None,
        step: None,
        pipeline: None,
        group: None,
        cause: None,
        state: None,
        since_ms: None,
        latest: false,
        output: None,
        message: None,
        dry_run: false,
        after: None,
        until: None,
    }
}

/// Says how many there are, asks, and does it, piece by piece.
async fn act(mut which: Which, asked: ActOnDeadLetters, client: &Client, output: Output) -> anyhow::Result<()> {
    if let Some(run) = &mut which.run {
        complete(run, client).await?;
    }
    let Which { run, step, filter, all, dry_run, yes } = which;
    if run.is_none() && !all && filter.is_empty() {
        return Err(usage("say which: a RUN, --group, --pipeline, --step, --cause, --state or --since; or --all"));
    }
    if step.is_some() && filter.of_step.is_some() {
        return Err(usage("the step is given twice: leave --step out"));
    }
    let since_ms = filter.since_ms();
    let run = run.map(|run| run.parse()).transpose()?;
    let asked = ActOnDeadLetters {
        run,
        step: step.or(filter.of_step),
        pipeline: filter.pipeline,
        group: filter.group,
        cause: filter.cause,
        state: filter.state,
        since_ms,
        ..asked
    };
    let counted = all_pieces(client, ActOnDeadLetters { dry_run: true, ..asked.clone() }, |_| {}).await?;
    if counted.met == 0 && asked.run.is_none() {
        must_be_there(client, asked.group.as_deref(), asked.pipeline.as_deref(), asked.step.as_deref()).await?;
    }
    if dry_run || counted.met == 0 {
        output.print(&Done { is_done: false, done: counted })?;
        return Ok(());
    }
    // Of one run, whoever names it knows what it is.
    if run.is_none() && !yes && !agreed(asked.verb, &counted)? {
        tell!("nothing was changed");
        return Err(End::Said.into());
    }
    let done = all_pieces(client, ActOnDeadLetters { until: counted.until.clone(), ..asked }, |so_far| {
        tell!("{} of {} are done", so_far.done, counted.met);
    })
    .await?;
    let is_refused = !done.refused.is_empty();
    output.print(&Done { is_done: true, done })?;
    if is_refused { Err(End::Said.into()) } else { Ok(()) }
}

/// Asks for one piece after the other, and sums up what came of them.
async fn all_pieces(
    client: &Client,
    mut asked: ActOnDeadLetters,
    tell: impl Fn(&DeadLettersDone),
) -> anyhow::Result<DeadLettersDone> {
    let mut all = DeadLettersDone::default();
    loop {
        let piece: DeadLettersDone = client.post(&["v1", "dead-letters"], &asked).await?;
        all.met += piece.met;
        all.runs += piece.runs;
        all.done += piece.done;
        all.refused.extend(piece.refused);
        all.until = piece.until.clone();
        if piece.next.is_none() {
            return Ok(all);
        }
        tell(&all);
        (asked.after, asked.until) = (piece.next, piece.until);
    }
}

/// Whether a person at a terminal wants it.
fn agreed(verb: DeadLetterVerb, counted: &DeadLettersDone) -> anyhow::Result<bool> {
    let told = show::amount(counted);
    if !std::io::stdin().is_terminal() {
        return Err(usage(format!("this means {told}: add --yes, or --dry-run to see what would be done")));
    }
    let word = match verb {
        DeadLetterVerb::Retry => "retry",
        DeadLetterVerb::Resume => "resume",
        DeadLetterVerb::Skip => "skip",
        DeadLetterVerb::Fail => "fail the runs of",
        DeadLetterVerb::Purge => "forget",
    };
    ask(format_args!("{word} {told}? [y/N] "))?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
