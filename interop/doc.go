// Package interop holds the tests against programs that we did not write: clients,
// servers, proxies and balancers, started on loopback by package peers.
//
// INTEROP=full runs whole matrices instead of a sample; make full sets it.
//
// Tests that make networks are run by an ordinary user in a user namespace of his, where the
// kernel lets him have one. What takes root all the same fails, and says so; INTEROP=off
// leaves it out.
// A program that is missing fails its test with the package to install.
package interop
