package bridge

// Observer is told what happens to flows. Each function may be nil. They are called
// on the flow's goroutines, in order within a direction, and must not block; the
// bytes are borrowed until the call returns. Log, metrics and capture are observers:
// none of them is wired into a layer.
type Observer struct {
	Open  func(*Flow)        // the flow begins
	Frame func(*Flow, Frame) // a layer has pushed a frame
	Close func(*Flow, Outcome)

	// Message is shown what is said before application data begins, except within a
	// session that a layer holds with a peer, as in the handshake of TLS.
	Message func(*Flow, Message)

	// Tap is asked once, when application data begins, and returns the function
	// that is shown what moves from then on, by the side that sent it; nil means
	// no interest. The flow's frames say what the data is. What a layer has kept
	// ([Bridge.Keep]) is shown first.
	Tap func(*Flow) func(from Side, data []byte)
}

// Message is a message of a handshake. One that was relayed is from one peer to the
// other; of one that was not, one of the two is us.
type Message struct {
	Layer    string // the layer that runs; "" outside of a Chain
	From, To Party
	Data     []byte // may hold credentials
}

// Observers returns an Observer that calls each of them in turn. Nil ones are left out.
func Observers(all ...*Observer) *Observer {
	var o Observer
	for _, next := range all {
		if next != nil {
			o = Observer{
				Open:  joinCalls(o.Open, next.Open),
				Frame: joinCalls2(o.Frame, next.Frame),
				Close: joinCalls2(o.Close, next.Close),
				Tap:   joinTaps(o.Tap, next.Tap),

				Message: joinCalls2(o.Message, next.Message),
			}
		}
	}
	return &o
}

func joinCalls[A any](f, g func(A)) func(A) {
	if f == nil || g == nil {
		return either(f == nil, g, f)
	}
	return func(a A) { f(a); g(a) }
}

func joinCalls2[A, B any](f, g func(A, B)) func(A, B) {
	if f == nil || g == nil {
		return either(f == nil, g, f)
	}
	return func(a A, b B) { f(a, b); g(a, b) }
}

func joinTaps(f, g func(*Flow) func(Side, []byte)) func(*Flow) func(Side, []byte) {
	if f == nil || g == nil {
		return either(f == nil, g, f)
	}
	return func(flow *Flow) func(Side, []byte) { return joinCalls2(f(flow), g(flow)) }
}

func either[T any](first bool, a, b T) T {
	if first {
		return a
	}
	return b
}

func (o *Observer) open(f *Flow) {
	if o != nil && o.Open != nil {
		o.Open(f)
	}
}

func (o *Observer) frame(f *Flow, frame Frame) {
	if o != nil && o.Frame != nil {
		o.Frame(f, frame)
	}
}

func (o *Observer) tap(f *Flow) func(Side, []byte) {
	if o == nil || o.Tap == nil {
		return nil
	}
	return o.Tap(f)
}

func (o *Observer) message(f *Flow, m Message) {
	if o != nil && o.Message != nil {
		o.Message(f, m)
	}
}

func (o *Observer) close(f *Flow, out Outcome) {
	if o != nil && o.Close != nil {
		o.Close(f, out)
	}
}
