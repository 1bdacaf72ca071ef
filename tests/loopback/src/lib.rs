//! Nothing but its tests: real servers, driven by the real planner.
