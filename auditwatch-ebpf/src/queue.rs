//! Lengths of the kernel's three audit queues.

use crate::{
    globals::{addr_hold, addr_queue, addr_retry, off_qlen},
    maps::live,
    memory::read_field,
};

macro_rules! depths {
    ($($(#[$doc:meta])* $depth:ident: $address:ident, $learned:ident;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub fn $depth() -> Option<u32> {
            let mut queue = $address();
            if queue == 0 {
                // SAFETY: a map value is alive for the program's run.
                queue = unsafe { (*live()).$learned };
            }
            read_field(queue, off_qlen())
        }
    )*};
}

depths! {
    /// Records in `audit_queue`, which the backlog limit is held against.
    main_depth: addr_queue, main_queue;
    /// Records in `audit_retry_queue`.
    retry_depth: addr_retry, retry_queue;
    /// Records in `audit_hold_queue`.
    hold_depth: addr_hold, hold_queue;
}
