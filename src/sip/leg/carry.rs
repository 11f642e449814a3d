//! What passes from one leg to another.
