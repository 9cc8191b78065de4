//! Mutexes whose contents are whole at every moment: each change is one call that can't stop in its middle. So the panic
//! of a thread that held one says nothing about what is inside, and those who come after it go on.

use std::sync::{LockResult, Mutex, MutexGuard, PoisonError};

/// Locks, also after the panic of a thread that held it.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    or_poisoned(mutex.lock())
}

/// What a wait on a condition variable gives back, also after such a panic.
pub fn or_poisoned<T>(result: LockResult<T>) -> T {
    result.unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_one_thread_does_not_keep_the_others_out() {
        let mutex = Mutex::new(1);
        let panicked = std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    let _held = lock(&mutex);
                    std::panic::resume_unwind(Box::new(()));
                })
                .join()
        });
        assert!(panicked.is_err());
        *lock(&mutex) += 1;
        assert_eq!(*lock(&mutex), 2);
    }
}
