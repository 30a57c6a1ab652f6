//! Tests of the command line. One binary: linking is most of what a test costs.

mod inspect;
mod oracle;
mod verbs;
