//! Tests of the command line. One binary: linking is most of what a test costs.

mod oracle;
mod verbs;
mod words;
