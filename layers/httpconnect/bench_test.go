package httpconnect_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/bridgeio/bridgeio/bridge"
	"github.com/bridgeio/bridgeio/layers/httpconnect"
)

// BenchmarkTerminate downloads through the proxy, over connections that are kept.
func BenchmarkTerminate(b *testing.B) {
	for _, size := range []int{1 << 10, 1 << 20, 16 << 20} {
		b.Run(fmt.Sprintf("download=%dKiB", size>>10), func(b *testing.B) {
			content := bytes.Repeat([]byte("x"), size)
			origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(content) }))
			defer origin.Close()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			proxy := &bridge.Proxy{Handler: bridge.Chain(httpconnect.Terminate(httpconnect.Config{}))}
			go proxy.Serve(context.Background(), l)
			defer proxy.Shutdown(context.Background())
			transport := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: l.Addr().String()})}
			defer transport.CloseIdleConnections()
			c := &http.Client{Transport: transport}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				resp, err := c.Get(origin.URL)
				if err != nil {
					b.Fatal(err)
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		})
	}
}
