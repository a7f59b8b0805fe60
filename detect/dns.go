package detect

import "strings"

const (
	dnsHeaderLen = 12
	maxDNSQuery  = 1024
	maxDNSName   = 255
)

// DNS detects a query over TCP (RFC 7766 §8, RFC 1035 §4): length, header, and one whole question. Verb is the type that
// is asked for where it is a common one, Host the name.
func DNS() Detector {
	return scanned("dns", 2+maxDNSQuery, func(b []byte) result {
		switch {
		case len(b) > 0 && b[0] > maxDNSQuery>>8:
			return bad("length", 0)
		case len(b) > 1 && (be16(b) < dnsHeaderLen+5 || be16(b) > maxDNSQuery):
			return bad("length", 0)
		case len(b) < 2:
			return short(2 + dnsHeaderLen + 5)
		}
		_, r := scanDNS(b[2:min(len(b), 2+be16(b))])
		switch {
		case r.need > 0 && r.need > be16(b):
			return bad("QNAME", 2)
		case r.need > 0:
			return short(r.need + 2)
		case r.field != "":
			return bad(r.field, r.at+2)
		case len(b) < 2+be16(b):
			return short(2 + be16(b)) // a query is short, and sent at once
		}
		return complete(2 + be16(b))
	}, func(b []byte) Info { return dnsInfo(b[2:]) })
}

// scanDNS scans the header and the question of a query, and returns where the question's name ends.
func scanDNS(b []byte) (nameEnd int, r result) {
	switch {
	case len(b) > 2 && b[2]&^0x01 != 0: // a standard query, which may ask for recursion
		return 0, bad("OPCODE", 2)
	case len(b) > 3 && b[3]&^0x30 != 0: // AD and CD
		return 0, bad("RCODE", 3)
	case len(b) > 4 && b[4] != 0, len(b) > 5 && b[5] != 1:
		return 0, bad("QDCOUNT", 4)
	case len(b) > 6 && b[6] != 0, len(b) > 7 && b[7] != 0, len(b) > 8 && b[8] != 0, len(b) > 9 && b[9] != 0:
		return 0, bad("ANCOUNT", 6)
	case len(b) > 10 && b[10] != 0, len(b) > 11 && b[11] > 2:
		return 0, bad("ARCOUNT", 10)
	case len(b) <= dnsHeaderLen:
		return 0, short(dnsHeaderLen + 5)
	}
	at := dnsHeaderLen
	for {
		if at >= len(b) {
			return 0, short(at + 5)
		}
		n := int(b[at])
		if n == 0 {
			break
		}
		if n > 63 || at+1+n-dnsHeaderLen > maxDNSName {
			return 0, bad("QNAME", at)
		}
		for i := at + 1; i < min(len(b), at+1+n); i++ {
			if b[i] <= ' ' || b[i] >= 0x7f {
				return 0, bad("QNAME", i)
			}
		}
		at += 1 + n
	}
	end := at + 1 + 4
	switch {
	case len(b) > at+3 && b[at+3]&0x7f != 0: // the top bit asks for a unicast answer in mDNS
		return 0, bad("QCLASS", at+3)
	case len(b) < end:
		return 0, short(end)
	}
	switch class := b[at+4]; class {
	case 1, 3, 4, 254, 255:
		return at, complete(end)
	}
	return 0, bad("QCLASS", at+4)
}

var dnsTypes = map[int]string{
	1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 35: "NAPTR", 43: "DS", 48: "DNSKEY",
	52: "TLSA", 64: "SVCB", 65: "HTTPS", 251: "IXFR", 252: "AXFR", 255: "ANY",
}

// dnsInfo reads a query that was scanned.
func dnsInfo(b []byte) Info {
	end, _ := scanDNS(b)
	var name strings.Builder
	for at := dnsHeaderLen; b[at] != 0; at += 1 + int(b[at]) {
		if name.Len() > 0 {
			name.WriteByte('.')
		}
		name.Write(b[at+1 : at+1+int(b[at])])
	}
	info := Info{Protocol: "dns", Verb: dnsTypes[be16(b[end+1:])]}
	if isHost(name.String()) {
		info.Host = name.String()
	}
	return info
}
