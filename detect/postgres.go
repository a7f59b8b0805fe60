package detect

import (
	"bytes"
	"strconv"
)

// PostgresRequest is the first message of a PostgreSQL client, which has no type byte (PostgreSQL, "Message Formats").
type PostgresRequest struct {
	Code uint32 // [PostgresSSLRequest] and its neighbours, or the protocol version of a StartupMessage

	// Of a StartupMessage, raw.
	User, Database, ApplicationName string
}

// The codes of requests that are no StartupMessage.
const (
	PostgresCancelRequest = 80877102
	PostgresSSLRequest    = 80877103
	PostgresGSSENCRequest = 80877104
)

const (
	postgresHeaderLen  = 8
	maxPostgresStartup = 10000 // MAX_STARTUP_PACKET_LENGTH
)

// version is the one that a StartupMessage asks for.
func (q PostgresRequest) version() string {
	if q.Code>>16 != 3 {
		return ""
	}
	return "3." + strconv.Itoa(int(q.Code&0xffff))
}

// ParsePostgresRequest parses a client's first message at the beginning of buf.
func ParsePostgresRequest(buf []byte) (PostgresRequest, int, error) {
	r := scanPostgres(buf)
	if r.isComplete() {
		switch length := int(be32(buf)); {
		case len(buf) < length:
			r = short(length)
		case be32(buf[4:])>>16 == 3 && buf[length-1] != 0:
			r = bad("StartupMessage", length-1)
		default:
			return postgresFields(buf[:length]), length, nil
		}
	}
	return PostgresRequest{}, 0, r.err("postgres")
}

// scanPostgres scans length and code, which tell each of the four messages, and where a StartupMessage begins.
func scanPostgres(b []byte) result {
	switch {
	case len(b) > 0 && b[0] != 0, len(b) > 1 && b[1] != 0, len(b) > 2 && b[2] > maxPostgresStartup>>8:
		return bad("length", min(len(b), 3)-1)
	case len(b) > 4 && hasPrefix(b[4:], "\x04\xd2\x16") == NoMatch && hasPrefix(b[4:], "\x00\x03") == NoMatch:
		return bad("code", 4)
	case len(b) < postgresHeaderLen:
		return short(postgresHeaderLen)
	}
	length, ok := be32(b), false
	switch code := be32(b[4:]); {
	case code == PostgresSSLRequest, code == PostgresGSSENCRequest:
		ok = length == postgresHeaderLen
	case code == PostgresCancelRequest:
		ok = 12 < length && length <= 12+256
	case code>>16 == 3:
		ok = postgresHeaderLen < length && length <= maxPostgresStartup
	}
	switch {
	case !ok:
		return bad("code", 4)
	case b[5] != 3: // the code is that of a version
		return complete(postgresHeaderLen)
	case len(b) == postgresHeaderLen:
		return short(postgresHeaderLen + 1)
	case b[postgresHeaderLen] < 'A' || b[postgresHeaderLen] > 'z': // the name of the first parameter
		return bad("StartupMessage", postgresHeaderLen)
	}
	return complete(postgresHeaderLen + 1)
}

// postgresFields reads what is there of a message.
func postgresFields(b []byte) PostgresRequest {
	q := PostgresRequest{Code: be32(b[4:])}
	if q.Code>>16 != 3 {
		return q
	}
	rest := b[postgresHeaderLen:]
	for {
		name, after, found := bytes.Cut(rest, []byte{0})
		value, next, whole := bytes.Cut(after, []byte{0})
		if !found || !whole || len(name) == 0 {
			return q
		}
		field := (*string)(nil)
		switch string(name) {
		case "user":
			field = &q.User
		case "database":
			field = &q.Database
		case "application_name":
			field = &q.ApplicationName
		}
		if field != nil && *field == "" {
			*field = string(value)
		}
		rest = next
	}
}

// Postgres detects the first message of a PostgreSQL client, by its length and code. Verb is SSLRequest, GSSENCRequest,
// CancelRequest or StartupMessage; of the last there are User, Database and Software once they have come.
func Postgres() Detector {
	return scanned("postgres", maxPostgresStartup, scanPostgres, func(b []byte) Info {
		q := postgresFields(b[:min(len(b), int(be32(b)))])
		info := Info{Protocol: "postgres", Version: q.version(), Verb: "StartupMessage"}
		switch q.Code {
		case PostgresSSLRequest:
			info.Verb = "SSLRequest"
		case PostgresGSSENCRequest:
			info.Verb = "GSSENCRequest"
		case PostgresCancelRequest:
			info.Verb = "CancelRequest"
		}
		info.User, info.Database, info.Software = clean([]byte(q.User)), clean([]byte(q.Database)), ascii([]byte(q.ApplicationName))
		return info
	})
}
