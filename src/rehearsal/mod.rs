//! Scripted caller, agent and PBX on real sockets.
