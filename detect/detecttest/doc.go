// Package detecttest holds a detector to the laws that package detect states, in tests and under fuzzing.
//
//	func TestGopher(t *testing.T) { detecttest.Laws(t, Gopher(), []byte("/index\r\n")) }
//	func FuzzGopher(f *testing.F) { detecttest.Fuzz(f, Gopher(), []byte("/index\r\n")) }
//
// A sample is any beginning of a conversation, of the protocol or not: the laws hold on all bytes. Each is checked at
// every length up to the decision and many after it, and beyond its end up to the detector's limit, so a few good
// samples go far. A failure prints the shortest prefix of the sample that breaks a law.
//
// The laws say nothing of whether the detector is right. That takes a table of samples and verdicts, which is yours.
package detecttest
