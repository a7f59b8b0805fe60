package detect

// extension reads the content of an extension that ends at the offset end in the message.
func (c *helloCursor) extension(h *ClientHello, id uint16, end int) {
	switch id {
	case extServerName:
		c.serverName(h, end)
	case extALPN:
		c.alpn(h, end)
	case extSupportedVersions:
		h.SupportedVersions = c.list16(c.vector("supported_versions", 1, 2, 2, end))
	case extSupportedGroups:
		h.SupportedGroups = c.list16(c.vector("supported_groups", 2, 2, 2, end))
	case extSignatureAlgorithms:
		h.SignatureAlgorithms = c.list16(c.vector("signature_algorithms", 2, 2, 2, end))
	case extSignatureAlgsCert:
		h.SignatureAlgorithmsCert = c.list16(c.vector("signature_algorithms_cert", 2, 2, 2, end))
	case extKeyShare:
		c.keyShare(h, end)
	case extPreSharedKey:
		h.HasPreSharedKey = true
		c.skip(end - c.off)
	case extEarlyData:
		h.HasEarlyData = true
		c.skip(end - c.off)
	case extECH:
		h.HasECH = true
		c.skip(end - c.off)
	default:
		c.skip(end - c.off)
	}
}

// extensionName is the specification's name of an extension that is read here.
func extensionName(id uint16) string {
	switch id {
	case extServerName:
		return "server_name"
	case extSupportedGroups:
		return "supported_groups"
	case extSignatureAlgorithms:
		return "signature_algorithms"
	case extALPN:
		return "application_layer_protocol_negotiation"
	case extSessionTicket:
		return "session_ticket"
	case extPreSharedKey:
		return "pre_shared_key"
	case extSupportedVersions:
		return "supported_versions"
	case extSignatureAlgsCert:
		return "signature_algorithms_cert"
	case extKeyShare:
		return "key_share"
	}
	return "extension"
}

// serverName reads ServerNameList (RFC 6066 §3).
func (c *helloCursor) serverName(h *ClientHello, end int) {
	const hostName = 0
	h.HasServerName = true
	end = c.within("server_name", 2, 1, end)
	for named := false; c.ok() && c.off < end; {
		kind := c.u8()
		// RFC 6066 §3: "The ServerNameList MUST NOT contain more than one name of the same name_type".
		if kind == hostName && named {
			c.fail("server_name", c.pos-1)
		}
		name := c.take(c.vector("server_name", 2, 1, 1, end))
		if kind == hostName {
			named = true
			if isHost(name) {
				h.ServerName = string(name)
			}
		}
	}
}

// alpn reads ProtocolNameList (RFC 7301 §3.1).
func (c *helloCursor) alpn(h *ClientHello, end int) {
	const field = "application_layer_protocol_negotiation"
	end = c.within(field, 2, 2, end)
	for c.ok() && c.off < end {
		// RFC 7301 §3.1: "Empty strings MUST NOT be included".
		name := c.take(c.vector(field, 1, 1, 1, end))
		if c.keep != nil {
			h.ALPN = append(h.ALPN, string(name))
		}
	}
}

// keyShare reads KeyShareClientHello (RFC 8446 §4.2.8), which is empty when the client asks for a HelloRetryRequest.
func (c *helloCursor) keyShare(h *ClientHello, end int) {
	end = c.within("key_share", 2, 0, end)
	for c.ok() && c.off < end {
		c.room("key_share", 2, end)
		group := uint16(c.u16())
		c.skip(c.vector("key_share", 2, 1, 1, end))
		if c.keep != nil {
			h.KeyShareGroups = append(h.KeyShareGroups, group)
		}
	}
}

// within reads the length of a vector and returns the offset in the message at which the vector ends.
func (c *helloCursor) within(field string, width, least, end int) int {
	n := c.vector(field, width, least, 1, end)
	return c.off + n
}
