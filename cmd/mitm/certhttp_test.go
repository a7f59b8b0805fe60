package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestTheCertificateIsServed holds that --certhttp serves what ca export writes, and ends with the proxy.
func TestTheCertificateIsServed(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	exported := filepath.Join(t.TempDir(), "ca.cer")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	logged, log := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"--listen", "127.0.0.1:0", "--certhttp", "0", "-x", exported}, os.Stdin, t.Output(), log)
		log.Close()
	}()
	url := ""
	kind := regexp.MustCompile(`kind=certhttp addr=(127\.0\.0\.1:\d+)`)
	lines := bufio.NewScanner(logged)
	for url == "" && lines.Scan() {
		if m := kind.FindStringSubmatch(lines.Text()); m != nil {
			url = "http://" + m[1]
		}
	}
	go io.Copy(io.Discard, logged)
	if url == "" {
		t.Fatalf("exit code %d before the page is served", <-code)
	}
	want, err := os.ReadFile(exported)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/ca.cer", "/polarproxy.cer"} {
		response, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || string(got) != string(want) {
			t.Errorf("%s: %d bytes, %v; want the %d that were exported", path, len(got), err, len(want))
		}
	}
	http.DefaultClient.CloseIdleConnections()
	stop()
	if got := <-code; got != exitOK {
		t.Errorf("exit code %d, want %d", got, exitOK)
	}
	if response, err := http.Get(url); err == nil {
		response.Body.Close()
		t.Error("the page is served still")
	}
}
