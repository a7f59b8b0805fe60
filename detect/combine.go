package detect

// Any makes a detector that matches what one of several does, and says what that one says: [Identify] in the shape of
// a detector. They stand in order of priority and look at the same side. It is made once and used often: making it
// asks each detector about each byte that may be the first, and those that say no are not asked again.
func Any(name string, ds ...Detector) Detector {
	d := combined(name, ds)
	if d.Datagram { // whose first byte says nothing about longer ones
		d.Func = func(in Input) Verdict { return Identify(in, ds...) }
		return d
	}
	index := byFirstByte(ds)
	d.Func = func(in Input) Verdict {
		if d.seen(in) == 0 {
			return Identify(in, ds...)
		}
		first := in.Client
		if d.ServerFirst {
			first = in.Server
		}
		return Identify(in, index[first[0]]...)
	}
	return d
}

// byFirstByte holds for each first byte the detectors that do not say no to it, in their order. A no stands, whatever
// follows.
func byFirstByte(ds []Detector) *[256][]Detector {
	var index [256][]Detector
	for c := range index {
		in := Input{Client: []byte{byte(c)}, Server: []byte{byte(c)}}
		for i := range ds {
			if ds[i].detect(in).Kind != NoMatch {
				index[c] = append(index[c], ds[i])
			}
		}
	}
	return &index
}

// All makes a detector that matches what each of several does, and says what the first one says. They look at the same
// side. Of none it matches everything.
func All(name string, ds ...Detector) Detector {
	d := combined(name, ds)
	d.Func = func(in Input) Verdict {
		if len(ds) == 0 {
			return Yes(Info{Protocol: name})
		}
		var all Verdict
		for i := range ds {
			v := ds[i].detect(in)
			switch {
			case v.Kind == NoMatch:
				return v
			case all.Kind == NeedMore:
				all.Need = max(all.Need, v.Need)
			case v.Kind == NeedMore || i == 0:
				all = v
			}
		}
		return all
	}
	return d
}

// Not makes a detector that matches what another does not. It is undecided as long as that one is.
func Not(name string, other Detector) Detector {
	d := combined(name, []Detector{other})
	d.Func = func(in Input) Verdict {
		switch v := other.detect(in); v.Kind {
		case Match:
			return No()
		case NeedMore:
			return More(d.seen(in) + 1) // the next byte may end it
		}
		return Yes(Info{Protocol: name})
	}
	return d
}

// combined is a detector that looks at the side that others look at, for as long as the most patient of them.
func combined(name string, ds []Detector) Detector {
	d := Detector{Name: name, Parts: ds}
	for _, each := range ds {
		d.Limit = max(d.Limit, each.MaxBytes())
		d.ServerFirst, d.Datagram = d.ServerFirst || each.ServerFirst, d.Datagram || each.Datagram
	}
	return d
}
