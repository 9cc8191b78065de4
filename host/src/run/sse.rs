//! Reads server-sent events from chunks of bytes, as far as Pawl's API uses them.
//! <https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation>

/// Bytes that are not yet a whole event.
#[derive(Debug, Default)]
pub(super) struct Parser {
    rest: Vec<u8>,
}

impl Parser {
    /// Takes a chunk; returns the data of the events that it completed. Ids and kinds are in the data too.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Vec<String> {
        self.rest.extend(chunk);
        let mut found = Vec::new();
        while let Some((end, gap)) = blank_line(&self.rest) {
            let block: Vec<u8> = self.rest.drain(..end + gap).take(end).collect();
            found.extend(data(&String::from_utf8_lossy(&block)));
        }
        found
    }
}

/// Where the first blank line begins, and how many bytes end the event.
fn blank_line(bytes: &[u8]) -> Option<(usize, usize)> {
    (0..bytes.len()).find_map(|at| match &bytes[at..] {
        [b'\n', b'\n', ..] => Some((at, 2)),
        [b'\r', b'\n', b'\r', b'\n', ..] => Some((at, 4)),
        _ => None,
    })
}

/// The `data` lines of an event, joined; `None` for a comment.
fn data(block: &str) -> Option<String> {
    let lines: Vec<&str> = block
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .map(|value| value.strip_prefix(' ').unwrap_or(value))
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_whole_however_the_bytes_arrive() {
        let stream =
            b": hello\n\nid: 1\nevent: a\ndata: {\"n\":\ndata: 1}\n\nid: 2\r\ndata:two\r\n\r\nid: 3\ndata: cut";
        for size in 1..stream.len() {
            let mut parser = Parser::default();
            let found: Vec<String> = stream.chunks(size).flat_map(|chunk| parser.push(chunk)).collect();
            assert_eq!(found, ["{\"n\":\n1}", "two"], "in chunks of {size}");
        }
    }
}
