//! Tests of the core: rules one by one, and all of them together under crashes.

mod answers;
mod approval;
mod cancel;
mod causes;
mod crash;
mod detection;
mod doubt;
mod guards;
mod plan;
mod preview;
mod rerun;
mod steps;
mod verify;
mod world;
