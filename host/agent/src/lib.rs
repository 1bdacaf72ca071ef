//! PID 1 of a data pod: parent of the server, keeper of its files.
