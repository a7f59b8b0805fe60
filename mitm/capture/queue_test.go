package capture

import (
	"testing"
	"time"

	"github.com/bridgeio/bridgeio/bridge"
)

func TestTheQueueIsInTheOrderOfTime(t *testing.T) {
	q := newQueue(&pool{limit: queueLimit}, patience, autoflush)
	defer q.close()
	begun := time.Now()
	seen := []time.Duration{0, 5, 3, 5, 4, 6}
	want := []time.Duration{0, 5, 5, 5, 5, 6}
	for _, d := range seen {
		if !q.put(event{at: begun.Add(d), size: 1, from: bridge.Client}, []byte("x")) {
			t.Fatal("no room in an empty queue")
		}
	}
	p := q.take()
	if len(p.events) != len(want) {
		t.Fatalf("%d events, want %d", len(p.events), len(want))
	}
	for i, e := range p.events {
		if got := e.at.Sub(begun); got != want[i] {
			t.Errorf("event %d is at %v, want %v", i, got, want[i])
		}
	}
}
