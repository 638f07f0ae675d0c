//! Folds of pods.
