// Package mitm is the product: listeners, the automatic chain, access rules and the
// dialler, made of a [Config].
//
//	server, err := mitm.New(mitm.Config{Listen: []string{"127.0.0.1:8080"}})
//	if err != nil { … }
//	defer server.Close()
//	err = server.Serve(ctx)
//
// It is the one package that knows all layers. What happens to flows is seen by
// observers: package capture writes what was decrypted, package flowlog a line a flow.
//
// # The rule of the hop
//
// The hop is where a flow's server side is, or will be, connected. As long as nobody
// has named one, we are the destination of what the client says, so a protocol is
// terminated, and its destination becomes the hop. Once a hop is known somebody else
// is the destination, so a protocol is relayed to it. TLS is bridged in both cases,
// unless it is addressed to ourselves.
package mitm
