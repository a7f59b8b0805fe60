package main

import (
	"context"
	"fmt"
)

// stages is how often names asks for as many names as the scale says: 5,000. Mitm keeps
// 10,000 certificates, so it has no room for those of the third and the last.
const stages = 4

// names asks for one name after the other, each of which the origin has a certificate
// of its own for, and weighs the proxy after each stage. Its values are KiB for each
// name of a stage.
func names(ctx context.Context, t *target, s scale) ([]float64, error) {
	if err := t.visit(ctx, tlsAtOnce, 4*tlsAtOnce); err != nil {
		return nil, err
	}
	before, err := t.usage.settledMemory(ctx, s.Looks)
	if err != nil {
		return nil, err
	}
	var perName []float64
	for stage := range stages {
		name := func(i int) string { return fmt.Sprintf("n%d.test", stage*s.Names+i) }
		if err := t.visitEach(ctx, tlsAtOnce, s.Names, name); err != nil {
			return nil, err
		}
		after, err := t.usage.settledMemory(ctx, s.Looks)
		if err != nil {
			return nil, err
		}
		perName = append(perName, float64(after-before)/1024/float64(s.Names))
		before = after
	}
	return perName, nil
}
