package detect

// JDWP detects the handshake of a Java debugger (Java Debug Wire Protocol, "Handshake"), which both peers say.
func JDWP() Detector { return Prefix("jdwp", "JDWP-Handshake") }
