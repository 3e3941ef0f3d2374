//! Documents: what is refused and with which sentence, what is accepted in three notations, and when.

mod common;

mod documents {
    mod support;

    mod config;
    mod generated;
    mod role;
}
