//! The RESP layer and the agent against real servers on loopback.
