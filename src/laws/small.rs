//! The same laws where all cases can be tried.
