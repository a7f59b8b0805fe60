// Package truststore puts the certificate of an authority where programs look for the roots that they trust, and takes
// it out again: Debian's store, which OpenSSL, GnuTLS, curl and Go read, and the NSS databases of Chromium and Firefox.
//
//	install := truststore.Install{Certificate: authority.Certificate(), Stores: truststore.NSS, Out: os.Stdout}
//	err := install.Run(ctx)
//
// The work is done by the programs that these stores belong to, update-ca-certificates and certutil; each command is
// printed before it runs. What is there already is left alone, so that it may run again. Names of files and in
// databases end in a part of the certificate's SHA-256: authorities do not get in each other's way.
//
// Other systems, Java and phones are not done here; the page of package certpage says how.
package truststore
