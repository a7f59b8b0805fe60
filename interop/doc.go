// Package interop holds the tests against programs that we did not write: clients,
// servers, proxies and balancers, started on loopback by package peers.
//
// INTEROP=full runs whole matrices instead of a sample; make full sets it.
// A program that is missing fails its test with the package to install.
package interop
