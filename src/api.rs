//! The objects that other programs write and read.

pub mod rbg;
