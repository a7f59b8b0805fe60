package detect

// BitTorrent detects the handshake of a peer (BEP 3, "peer protocol").
func BitTorrent() Detector { return Prefix("bittorrent", "\x13BitTorrent protocol") }
