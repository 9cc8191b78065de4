//! What an error of Redis means: for the connection that it came on, and in words for people. A pure function; what is
//! done about it is done in [`line`](super::line) and by callers.
//!
//! Some errors say that the server at the other end is not, or no more, the one that takes our writes: it became a
//! replica, is loading, has lost its cluster. Whatever is asked there is refused, for as long as the connection lives. So
//! it ends, the server's name is resolved anew, and who has the name by then is asked.

use pawl_base::TlsFault;
use redis::{ErrorKind, RedisError, ServerError};

/// What an error means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meaning {
    /// Nothing more is to be expected of the connection.
    pub(super) ends_connection: bool,
    /// For anybody who may ask: no addresses, no names.
    pub(super) why: &'static str,
}

const fn ends(why: &'static str) -> Meaning {
    Meaning { ends_connection: true, why }
}

const fn stays(why: &'static str) -> Meaning {
    Meaning { ends_connection: false, why }
}

/// An answer to a question: the caller knows what to make of it.
const ANSWER: Meaning = stays("it answered with an error");

/// By the code that the server's error begins with.
const KNOWN: [(&str, Meaning); 15] = [
    ("READONLY", ends("it is a replica, and takes no writes (READONLY)")),
    ("UNBLOCKED", ends("it became a replica (UNBLOCKED)")),
    ("LOADING", ends("it is loading its data (LOADING)")),
    ("MASTERDOWN", ends("it is a replica without its master (MASTERDOWN)")),
    ("CLUSTERDOWN", ends("its cluster is down (CLUSTERDOWN)")),
    ("MOVED", ends("our keys are at another node of its cluster (MOVED)")),
    ("NOREPLICAS", ends("it lacks replicas, and takes no writes (NOREPLICAS)")),
    ("MISCONF", ends("it can't write its disk, and takes no writes (MISCONF)")),
    ("NOAUTH", ends("it asks for a password: write it into redis_url (NOAUTH)")),
    ("WRONGPASS", ends("it refuses the user or password of redis_url (WRONGPASS)")),
    ("NOPERM", stays("its user may not do, or not with these keys, what is needed (NOPERM)")),
    ("OOM", stays("it is full, and takes no deliveries: raise its maxmemory (OOM)")),
    ("BUSY", stays("a script keeps it busy (BUSY)")),
    ("ASK", stays("our keys are on their way to another node (ASK)")),
    ("TRYAGAIN", stays("our keys are on their way to another node (TRYAGAIN)")),
];

/// What the server said.
pub(super) fn of_answer(error: &ServerError) -> Meaning {
    let known = |code: &str| KNOWN.iter().find(|(known, _)| *known == code).map(|(_, meaning)| *meaning);
    // Within a script, older servers put the code of what a command of it met behind one of their own.
    let within = || error.details()?.split_whitespace().find_map(|word| known(word.strip_prefix('-')?));
    known(error.code()).or_else(within).unwrap_or(ANSWER)
}

/// What a conversation ended with.
pub(super) fn of(error: &RedisError) -> Meaning {
    if let Some(errors) = error.clone().into_server_errors() {
        let meanings = errors.iter().map(|(_, error)| of_answer(error));
        // Of several the one that explains the most: an unknown one may only follow from it.
        return meanings.max_by_key(|meaning| (meaning.ends_connection, *meaning != ANSWER)).unwrap_or(ANSWER);
    }
    if let Some(fault) = TlsFault::of(error) {
        return ends(of_tls(fault));
    }
    match error.kind() {
        ErrorKind::AuthenticationFailed => ends("it refuses the user or password of redis_url (WRONGPASS)"),
        ErrorKind::Client => stays("it is not known yet which installation this is"),
        // What was asked has no answer, and the connection no future.
        ErrorKind::Io if error.is_timeout() => ends("it does not answer"),
        ErrorKind::Io => ends("it can't be reached"),
        _ if error.is_unrecoverable_error() => ends("it speaks another language"),
        _ => ANSWER,
    }
}

/// What a handshake has failed by.
const fn of_tls(fault: TlsFault) -> &'static str {
    match fault {
        TlsFault::Untrusted => "nobody who is trusted here has signed its certificate: name its CA in redis_ca",
        TlsFault::OtherName => {
            "its certificate is for other names: name it in redis_url as that does, or have one made for this name"
        }
        TlsFault::OutOfTime => "its certificate has ended, or is not good yet: renew it, and look at both clocks",
        TlsFault::OfCa => {
            "it shows the certificate of a CA itself: have that sign one for it, with basicConstraints=CA:FALSE"
        }
        TlsFault::WantsOurs => "it wants a certificate of a client, or another one: redis_certificate and redis_key",
        TlsFault::NoTls => "it speaks no TLS: redis_url begins with redis:// then, or its port is another one",
        TlsFault::Other => "TLS with it fails",
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use redis::make_extension_error;

    use super::*;

    fn said(code: &str, detail: &str) -> Meaning {
        of(&make_extension_error(code.to_owned(), Some(detail.to_owned())))
    }

    #[test]
    fn servers_that_are_not_the_one_any_more_are_left() {
        for code in ["READONLY", "UNBLOCKED", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "MOVED", "NOREPLICAS", "MISCONF"]
        {
            let meaning = said(code, "in whatever words");
            assert!(meaning.ends_connection && meaning.why.ends_with(&format!("({code})")), "{code}: {meaning:?}");
        }
    }

    #[test]
    fn servers_that_refuse_are_asked_again_on_the_same_connection() {
        for code in ["OOM", "NOPERM", "BUSY", "ASK", "TRYAGAIN"] {
            let meaning = said(code, "in whatever words");
            assert!(!meaning.ends_connection && meaning.why.ends_with(&format!("({code})")), "{code}: {meaning:?}");
        }
        for code in ["NOGROUP", "BUSYGROUP", "WRONGTYPE", "NOSCRIPT", "ERR"] {
            assert_eq!(said(code, "no such key"), ANSWER);
        }
    }

    #[test]
    fn what_a_script_met_on_an_older_server_is_known() {
        let text = "Error running script (call to f_1): @user_script:3: @user_script: 3: -READONLY You can't write";
        assert_eq!(said("ERR", text), said("READONLY", ""));
    }

    #[test]
    fn conversations_without_an_answer_end_the_connection() {
        let of_io = |kind| of(&RedisError::from(io::Error::from(kind)));
        assert_eq!(of_io(io::ErrorKind::TimedOut), ends("it does not answer"));
        for kind in [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionRefused, io::ErrorKind::UnexpectedEof] {
            assert_eq!(of_io(kind), ends("it can't be reached"));
        }
        assert!(of(&RedisError::from((ErrorKind::Parse, "not the protocol"))).ends_connection);
        assert!(of(&RedisError::from((ErrorKind::AuthenticationFailed, "refused"))).why.contains("WRONGPASS"));
    }
}
