package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bridgeio/bridgeio/detect"
)

func newDetect(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "detect [FILE|-]",
		Short: "say which protocol the first bytes of a client are",
		Long: `Reads what a client sent first, from FILE or stdin, and names the protocol.
Exit code 0: it is known; 1: it is none that is known; 2: wrong usage.`,
		Example: "  mitm detect hello.bin\n  printf 'GET / HTTP/1.1\\r\\n\\r\\n' | mitm detect",
		Args:    cobra.MaximumNArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return detectFile(s, args) },
	}
}

// detectMax is more than any detector looks at.
const detectMax = 256 << 10

func detectFile(s streams, args []string) error {
	in := s.in
	if len(args) == 1 && args[0] != "-" {
		f, err := os.Open(args[0])
		if err != nil {
			return usage("detect: %w", err)
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, detectMax))
	if err != nil {
		return usage("detect: %w", err)
	}
	v := detect.Identify(detect.Input{Client: data, ClientEnded: len(data) < detectMax}, detect.Clients()...)
	if v.Kind != detect.Match {
		fmt.Fprintln(s.out, "unknown")
		return &exit{code: exitFailed}
	}
	fmt.Fprintln(s.out, describe(v.Info)+fingerprints(data))
	return nil
}

// fingerprints writes those of a ClientHello, and nothing of any other bytes.
func fingerprints(data []byte) string {
	hello, _, err := detect.ParseClientHello(data)
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" ja3=%q ja4=%q", hello.JA3(), hello.JA4())
}

// describe writes what a detector found: the protocol, and name=value pairs of what
// it could say beyond that.
func describe(i *detect.Info) string {
	words := []string{i.Protocol}
	for _, pair := range []struct{ name, value string }{
		{"version", i.Version},
		{"verb", i.Verb},
		{"host", i.Host},
		{"alpn", strings.Join(i.ALPN, ",")},
		{"user", i.User},
		{"software", i.Software},
	} {
		if pair.value != "" {
			words = append(words, fmt.Sprintf("%s=%q", pair.name, pair.value))
		}
	}
	if i.Port != 0 {
		words = append(words, fmt.Sprintf("port=%d", i.Port))
	}
	if i.Src.IsValid() {
		words = append(words, fmt.Sprintf("src=%s dst=%s", i.Src, i.Dst))
	}
	return strings.Join(words, " ")
}
