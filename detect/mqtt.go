package detect

const (
	mqttConnect   = 0x10
	maxMQTT       = 64 << 10
	mqttUserFlag  = 0x80
	mqttPassFlag  = 0x40
	mqttWillQoS   = 0x18
	mqttWillFlag  = 0x04
	mqttReserved  = 0x01
	mqttVersion31 = 3
	mqttVersion5  = 5
)

// MQTT detects a CONNECT packet (MQTT 3.1, 3.1.1 and 5.0, each in §3.1), by its variable header up to the flags. Version
// is 3.1, 3.1.1 or 5, User the user name, else the client identifier, where the whole packet is there. A bridge between
// brokers may set the top bit of the version, as Mosquitto does.
func MQTT() Detector {
	return scanned("mqtt", maxMQTT, func(b []byte) result {
		_, r := scanMQTT(b)
		return r
	}, mqttInfo)
}

// scanMQTT returns where the connect flags are.
func scanMQTT(b []byte) (flags int, r result) {
	if len(b) > 0 && b[0] != mqttConnect {
		return 0, bad("control packet type", 0)
	}
	at, length, r := mqttLength(b)
	if !r.isComplete() {
		if r.need > 0 {
			r.need += len("\x00\x04MQTT\x04\x02")
		}
		return 0, r
	}
	if length < len("\x00\x04MQTT\x04\x02\x00\x3c\x00\x00") {
		return 0, bad("remaining length", 1)
	}
	name, level := "\x00\x04MQTT", byte(4)
	if len(b) > at+1 && b[at+1] == 6 {
		name, level = "\x00\x06MQIsdp", mqttVersion31
	}
	if r := fixed(b, at, name, "protocol name"); !r.isComplete() {
		if r.need > 0 {
			r.need = max(len(b)+1, at+len("\x00\x04MQTT\x04\x02"))
		}
		return 0, r
	}
	flags = at + len(name) + 1
	switch {
	case len(b) > flags-1 && b[flags-1]&0x7f != level && (level == mqttVersion31 || b[flags-1] != mqttVersion5):
		return 0, bad("protocol version", flags-1)
	case len(b) <= flags:
		return 0, short(flags + 1)
	case b[flags]&mqttReserved != 0, b[flags]&mqttWillQoS == mqttWillQoS:
		return 0, bad("connect flags", flags)
	case b[flags]&(mqttUserFlag|mqttPassFlag) == mqttPassFlag && b[flags-1] != mqttVersion5:
		return 0, bad("connect flags", flags) // MQTT 3.1.1 §3.1.2.9: a password without a user name, only 5 has that
	}
	return flags, complete(flags + 1)
}

// mqttLength reads the remaining length, and returns where the variable header begins.
func mqttLength(b []byte) (at, length int, r result) {
	for i := 1; i <= 4; i++ {
		if len(b) <= i {
			return 0, 0, short(i + 1)
		}
		length |= int(b[i]&0x7f) << (7 * (i - 1))
		if b[i]&0x80 == 0 {
			return i + 1, length, complete(i + 1)
		}
	}
	return 0, 0, bad("remaining length", 4)
}

// mqttInfo reads a packet that was scanned.
func mqttInfo(b []byte) Info {
	at, length, _ := mqttLength(b)
	flags, _ := scanMQTT(b)
	info := Info{Protocol: "mqtt", Version: mqttVersionName(b[flags-1] & 0x7f)}
	if len(b) < at+length || len(b) < flags+3 {
		return info
	}
	rest, five := b[flags+3:at+length], b[flags-1] == mqttVersion5
	if five {
		rest = mqttSkipProperties(rest)
	}
	id, rest := mqttString(rest)
	info.User = clean(id)
	if b[flags]&mqttWillFlag != 0 {
		if five {
			rest = mqttSkipProperties(rest)
		}
		_, rest = mqttString(rest)
		_, rest = mqttString(rest)
	}
	if b[flags]&mqttUserFlag != 0 {
		if user, _ := mqttString(rest); user != nil {
			info.User = clean(user)
		}
	}
	return info
}

func mqttVersionName(level byte) string {
	switch level {
	case mqttVersion31:
		return "3.1"
	case mqttVersion5:
		return "5"
	}
	return "3.1.1"
}

// mqttString takes a string off; it is nil when it is not whole.
func mqttString(b []byte) (s, rest []byte) {
	if len(b) < 2 || len(b) < 2+be16(b) {
		return nil, nil
	}
	return b[2 : 2+be16(b)], b[2+be16(b):]
}

// mqttSkipProperties takes the properties off that 5.0 §2.2.2 puts before the payload and before the will.
func mqttSkipProperties(b []byte) []byte {
	length := 0
	for i := range min(len(b), 4) {
		length |= int(b[i]&0x7f) << (7 * i)
		if b[i]&0x80 == 0 {
			return b[min(len(b), i+1+length):]
		}
	}
	return nil
}
