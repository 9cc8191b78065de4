//! Bytes as a segment of a journal: refused, or entries that are written as they were read, and that whoever goes on from a
//! checkpoint can sum up.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pawl_domain::journal::{pack, unpack};
use pawl_domain::replay::Unseen;

fuzz_target!(|bytes: &[u8]| {
    let Some((checkpoint, segment)) = bytes.split_first() else { return };
    let Ok(entries) = unpack(segment) else { return };
    assert_eq!(unpack(&pack(&entries)).expect("what was written is read"), entries);
    let mut unseen = Unseen::since((*checkpoint).into());
    for (position, entry) in (0..).zip(entries) {
        unseen.take_in(position, entry);
    }
    let cut = unseen.cut();
    assert_eq!(unpack(&pack(&cut.notes)).expect("what was written is read"), cut.notes);
});
