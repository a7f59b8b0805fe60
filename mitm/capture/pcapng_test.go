package capture

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// Bytes after the figures of draft-ietf-opsawg-pcapng.
func TestBlocks(t *testing.T) {
	packet, data := appendPacket(nil, 1, time.UnixMicro(0x0102030405060708), 5, "hi")
	copy(data, "12345")
	bare, _ := appendPacket(nil, 0, time.UnixMicro(1), 0, "")
	for _, tt := range []struct {
		name  string
		block []byte
		want  string
	}{
		{
			"a section header", appendSection(nil, "mitm"),
			"0a0d0d0a 28000000 4d3c2b1a 0100 0000 ffffffffffffffff 0400 0400 6d69746d 0000 0000 28000000",
		},
		{
			"an interface", appendInterface(nil, "server"),
			"01000000 24000000 0100 0000 00000400 0200 0600 736572766572 0000 0000 0000 24000000",
		},
		{
			"a packet with a comment", packet,
			"06000000 34000000 01000000 04030201 08070605 05000000 05000000 3132333435 000000 0100 0200 6869 0000 0000 0000 34000000",
		},
		{
			"a packet without data", bare,
			"06000000 20000000 00000000 00000000 01000000 00000000 00000000 20000000",
		},
		{
			"a name of an IPv4 address", appendName(nil, netip.MustParseAddr("203.0.113.9"), "a.example"),
			"04000000 24000000 0100 0e00 cb007109 612e6578616d706c65 00 0000 0000 0000 24000000",
		},
		{
			"a name of an IPv6 address", appendName(nil, netip.MustParseAddr("2001:db8::9"), "abc"),
			"04000000 28000000 0200 1400 20010db8000000000000000000000009 616263 00 0000 0000 28000000",
		},
		{
			"secrets", appendSecrets(nil, []byte("A 01 02\n")),
			"0a000000 1c000000 4b534c54 08000000 412030312030320a 1c000000",
		},
		{
			"secrets that are padded", appendSecrets(nil, []byte("A 01 2\n")),
			"0a000000 1c000000 4b534c54 07000000 4120303120320a 00 1c000000",
		},
	} {
		if got, want := hex.EncodeToString(tt.block), strings.ReplaceAll(tt.want, " ", ""); got != want {
			t.Errorf("%s: %s, want %s", tt.name, got, want)
		}
	}
}

func TestAnOptionThatIsTooLongIsCutOff(t *testing.T) {
	b, _ := appendPacket(nil, 0, time.Time{}, 0, strings.Repeat("x", 1<<16))
	options, err := ngOptions(b[28 : len(b)-4])
	if err != nil || len(options[optComment]) != 1<<16-1 {
		t.Errorf("%d bytes, %v; want as many as there can be", len(options[optComment]), err)
	}
}

// Whatever is written is read back, and each part of a file is cut at a block.
func FuzzBlocks(f *testing.F) {
	f.Add("mitm (devel)", "decrypted", "a.example", "flow=1 view=decrypted", []byte("some frame"), []byte("L 01 02\n"), int64(0))
	f.Add("", "", "x", "", []byte{}, []byte{}, int64(1<<53))
	f.Fuzz(func(t *testing.T, application, iface, name, comment string, frame, lines []byte, us int64) {
		if len(name) > 1<<15 || strings.Contains(name, "\x00") || us < 0 || len(comment) > optionLimit || len(iface) > optionLimit || len(application) > optionLimit {
			return
		}
		addr := netip.MustParseAddr("2001:db8::9")
		var ends []int
		var b []byte
		for _, grow := range []func(){
			func() { b = appendSection(b, application) },
			func() { b = appendInterface(b, iface) },
			func() { b = appendSecrets(b, lines) },
			func() { b = appendName(b, addr, name) },
			func() {
				var data []byte
				b, data = appendPacket(b, 0, time.UnixMicro(us), len(frame), comment)
				copy(data, frame)
			},
		} {
			grow()
			ends = append(ends, len(b))
		}
		for n := range b {
			want := 0
			for _, end := range ends {
				if end <= n {
					want = end
				}
			}
			if got := wholeBlocks(b[:n]); got != want {
				t.Fatalf("wholeBlocks of %d bytes = %d, want %d", n, got, want)
			}
		}
		rest := b[ends[3]:]
		all, err := ngBlocks(b[:ends[3]])
		if err != nil {
			t.Fatal(err)
		}
		if all[0].options[shbUserAppl] != application || all[1].options[ifName] != iface || all[2].secrets != string(lines) || all[3].name != addr.String()+" "+name {
			t.Errorf("read back %+v", all)
		}
		if int(le.Uint32(rest[4:])) != len(rest) || !bytes.Equal(rest[28:28+len(frame)], frame) {
			t.Errorf("a packet of %x", rest)
		}
		options, err := ngOptions(rest[28+(len(frame)+3)&^3 : len(rest)-4])
		if err != nil || options[optComment] != comment {
			t.Errorf("comment %q, %v", options[optComment], err)
		}
		if got := int64(le.Uint32(rest[12:]))<<32 | int64(le.Uint32(rest[16:])); got != us {
			t.Errorf("time %d, want %d", got, us)
		}
	})
}

// FuzzWholeBlocks holds that no file, whoever wrote it, is taken for longer than it is.
func FuzzWholeBlocks(f *testing.F) {
	f.Add(appendInterface(appendSection(nil, "mitm"), "decrypted"))
	f.Add([]byte{6, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0})
	f.Add(make([]byte, 12))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := wholeBlocks(b)
		if n < 0 || n > len(b) || wholeBlocks(b[:n]) != n {
			t.Errorf("%d of %d bytes are whole, and of those %d", n, len(b), wholeBlocks(b[:n]))
		}
	})
}
