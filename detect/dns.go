package detect

import "strings"

const (
	dnsHeaderLen = 12
	dnsLeast     = dnsHeaderLen + 5 // the root's name, QTYPE, QCLASS
	maxDNSQuery  = 1024
	maxDNSName   = 255
)

// DNS detects a query over TCP (RFC 7766 §8, RFC 1035 §4): length, header, and one whole question. Verb is the type that
// is asked for where it is a common one, Host the name.
func DNS() Detector {
	return scanned("dns", 2+maxDNSQuery, scanDNSMessage, func(b []byte) Info { return dnsInfo(b[2:]) })
}

// scanDNSMessage scans the length and a whole query, since a query is short and sent at once.
func scanDNSMessage(b []byte) result {
	switch {
	case len(b) > 0 && b[0] > maxDNSQuery>>8:
		return bad("length", 0)
	case len(b) < 2:
		return short(2 + dnsLeast)
	}
	length := be16(b)
	if length < dnsLeast || length > maxDNSQuery {
		return bad("length", 0)
	}
	_, r := scanDNS(b[2:min(len(b), 2+length)])
	switch {
	case r.need > length:
		return bad("QNAME", 2)
	case r.field != "":
		return bad(r.field, r.at+2)
	case r.need > 0 || len(b) < 2+length:
		return short(2 + length)
	case b[2+11] == 0 && r.n != length:
		return bad("length", 0)
	}
	return complete(2 + length)
}

// scanDNS scans the header and the question of a query, and returns where the question's name ends. It does not look
// at additional records; without any, the message has to end with the question.
func scanDNS(b []byte) (nameEnd int, r result) {
	if r := scanDNSHeader(b); !r.isComplete() {
		return 0, r
	}
	at, r := scanDNSName(b)
	if !r.isComplete() {
		return 0, r
	}
	end := at + 1 + 4
	switch {
	case len(b) > at+3 && b[at+3]&0x7f != 0: // the top bit asks for a unicast answer (RFC 6762 §5.4)
		return 0, bad("QCLASS", at+3)
	case len(b) < end:
		return 0, short(end)
	}
	switch b[at+4] {
	case 1, 3, 4, 254, 255: // IN, CH, HS, NONE, ANY
		return at, complete(end)
	}
	return 0, bad("QCLASS", at+4)
}

// scanDNSHeader checks the header (RFC 1035 §4.1.1): one question, no answer, no more additional records than EDNS
// (RFC 6891 §6.1.1) and a signature (RFC 8945 §5.1).
func scanDNSHeader(b []byte) result {
	switch {
	case len(b) > 2 && b[2]&^0x01 != 0: // a standard query, which may ask for recursion
		return bad("OPCODE", 2)
	case len(b) > 3 && b[3]&^0x30 != 0: // AD and CD (RFC 4035 §3.1.6, §3.2.2)
		return bad("RCODE", 3)
	case len(b) > 4 && b[4] != 0, len(b) > 5 && b[5] != 1:
		return bad("QDCOUNT", 4)
	}
	for i := 6; i < min(len(b), 11); i++ {
		if b[i] != 0 {
			return bad("ANCOUNT", i)
		}
	}
	switch {
	case len(b) > 11 && b[11] > 2:
		return bad("ARCOUNT", 11)
	case len(b) < dnsHeaderLen:
		return short(dnsLeast)
	}
	return complete(dnsHeaderLen)
}

// scanDNSName checks QNAME, labels of printable ASCII without dots, and returns where its last byte is.
func scanDNSName(b []byte) (end int, r result) {
	at := dnsHeaderLen
	for at < len(b) && b[at] != 0 {
		next := at + 1 + int(b[at])
		if b[at] > 63 || next-dnsHeaderLen >= maxDNSName { // the root's byte counts (RFC 1035 §3.1)
			return 0, bad("QNAME", at)
		}
		for i := at + 1; i < min(len(b), next); i++ {
			if b[i] <= ' ' || b[i] >= 0x7f || b[i] == '.' {
				return 0, bad("QNAME", i)
			}
		}
		at = next
	}
	if at >= len(b) {
		return 0, short(at + 1 + 4)
	}
	return at, complete(at + 1)
}

// dnsType is the word for QTYPE (RFC 1035 §3.2.2 and the registry that it began), of those that are asked for often.
func dnsType(t int) string {
	switch t {
	case 1:
		return "A"
	case 2:
		return "NS"
	case 5:
		return "CNAME"
	case 6:
		return "SOA"
	case 12:
		return "PTR"
	case 15:
		return "MX"
	case 16:
		return "TXT"
	case 28:
		return "AAAA"
	case 33:
		return "SRV"
	case 35:
		return "NAPTR"
	case 43:
		return "DS"
	case 48:
		return "DNSKEY"
	case 52:
		return "TLSA"
	case 64:
		return "SVCB"
	case 65:
		return "HTTPS"
	case 251:
		return "IXFR"
	case 252:
		return "AXFR"
	case 255:
		return "ANY"
	}
	return ""
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
	info := Info{Protocol: "dns", Verb: dnsType(be16(b[end+1:]))}
	if isHost(name.String()) {
		info.Host = name.String()
	}
	return info
}
