package peers

import (
	"slices"
	"testing"
)

func TestMitmIsReadyWhenAllItsListenersAre(t *testing.T) {
	const (
		first  = `{"time":"2026-01-02T03:04:05Z","level":"INFO","msg":"listening","addr":"127.0.0.1:41001"}` + "\n"
		other  = `{"level":"INFO","msg":"new authority","addr":"nowhere"}` + "\nnot JSON\n"
		second = `{"level":"INFO","msg":"listening","front":"socks","addr":"[::]:41002"}` + "\n"
	)
	tests := []struct {
		name   string
		args   []string
		stderr string
		want   bool
	}{
		{"nothing yet", nil, "", false},
		{"another record", nil, other, false},
		{"half a record", nil, first[:40], false},
		{"the default listener", nil, other + first, true},
		{"one of two", []string{"--listen", "127.0.0.1:0", "--socks=0"}, first + other, false},
		{"two of two", []string{"--listen", "127.0.0.1:0", "--socks=0"}, first + other + second, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Mitm("mitm", tt.args...).Ready(tt.stderr); got != tt.want {
				t.Errorf("Ready(%q) = %v, want %v", tt.stderr, got, tt.want)
			}
		})
	}
	if got, want := Listeners(first+other+second), []string{"127.0.0.1:41001", "[::]:41002"}; !slices.Equal(got, want) {
		t.Errorf("Listeners() = %q, want %q", got, want)
	}
}

func TestParseFlowsReadsAGrowingLog(t *testing.T) {
	const line = `{"v":1,"id":"01JD","path":"socks5>tls(h2)","frames":[{"proto":"socks5","verb":"relay"}],"tls":{"client":{"alpn":"h2"},"certificate":{"verdict":"ok"}},"bytes":{"from_client":12,"from_server":34},"ended_by":"client","reason":"eof","new":true}` + "\n"
	got, err := ParseFlows([]byte(line + line + line[:20]))
	if err != nil || len(got) != 2 {
		t.Fatalf("ParseFlows() = %d flows, %v, want 2", len(got), err)
	}
	f := got[1]
	if f.Path != "socks5>tls(h2)" || f.TLS == nil || f.TLS.Client.ALPN != "h2" || f.Bytes.FromServer != 34 || f.Reason != "eof" || f.Frames[0]["verb"] != "relay" {
		t.Errorf("ParseFlows() = %+v", f)
	}
	if _, err := ParseFlows([]byte(line + "{]\n")); err == nil {
		t.Error("ParseFlows() of a broken line: no error")
	}
}
