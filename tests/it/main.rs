//! The one integration binary: a module for each behaviour.

mod oracle;
