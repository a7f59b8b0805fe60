// Package starttls relays protocols that begin in the clear and change to TLS on the way, up to where they do, as
// layers of a bridge.
package starttls
