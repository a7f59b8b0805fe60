// Package bridgetest tests layers: it plays a dialogue between two peers with a layer in the middle, in every way in
// which it can go.
//
//	func TestGreeting(t *testing.T) {
//		bridgetest.Relay(t, bridge.Chain(greeting.Relay()), bridgetest.Script{
//			bridgetest.C("HELLO example.com\n"),
//			bridgetest.S("WELCOME\n"),
//			bridgetest.C("payload"),
//		}, bridgetest.Path("greeting"), bridgetest.Target("example.com:80"))
//	}
//
// # Plays
//
// [Relay] and [Terminate] play the script through [bridge.Proxy.ServeConn]
//
//   - in whole messages, one byte at a time, and in random chunks, whose seed a failure names;
//   - with a client that waits for no answer, so that what belongs to the next layer comes as surplus, and with one
//     that ends its direction at once, too;
//   - ended, and reset, by each peer after each of its bytes;
//   - with each peer silent from each of its messages on, reading and not reading;
//   - with bytes of the server that nobody asked for, before each of its messages (Relay only);
//   - on loopback sockets, where each message begins, in the middle of it, and after the last.
//
// Each time each peer must get a beginning of exactly what the other one has sent, and all of it where nothing was
// reset; endings must be mirrored; the flow must end, for a reason which is neither internal nor panic; and nothing may
// be left behind. What the options expect is checked where nothing goes wrong.
//
// All but the sockets happens in memory and in a bubble of testing/synctest, so minutes of silence take no time, and
// a layer that waits forever is found. The layer must not wait for anything outside of the bubble.
//
// [Originate] does the same for what is no layer but a dialler with a handshake: it plays the server that is asked.
//
// # Parts
//
// [Pipe] and [Sessions] are conns in memory that end as TCP and TLS conns do, with [Faults]; [Chunked] cuts up the reads
// and writes of any conn; [TCPPair] is a pair of sockets; [Baseline] finds goroutines and descriptors that are left
// behind.
package bridgetest
