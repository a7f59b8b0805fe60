package certpage

// platforms returns the instructions. Commands fetch the certificate from base and take it from the current folder.
func platforms(base string) []platform {
	get := step{"Fetch the certificate and compare its fingerprint with the one above:", []string{
		"curl -o mitm-ca.crt " + base + "/ca.pem",
		"openssl x509 -in mitm-ca.crt -noout -fingerprint -sha256",
	}}
	return []platform{
		{"debian", "Debian, Ubuntu", []step{
			get,
			{"Install it:", []string{"sudo cp mitm-ca.crt /usr/local/share/ca-certificates/mitm-ca.crt", "sudo update-ca-certificates"}},
			{"Take it out again:", []string{"sudo rm /usr/local/share/ca-certificates/mitm-ca.crt", "sudo update-ca-certificates --fresh"}},
			{"On the machine of the proxy itself, for the system and for your browsers:", []string{
				"mitm ca export ca.pem && sudo mitm ca install ca.pem --store system", "mitm ca install --store nss",
			}},
		}},
		{"fedora", "Fedora, RHEL", []step{
			get,
			{"Install it:", []string{"sudo cp mitm-ca.crt /etc/pki/ca-trust/source/anchors/mitm-ca.crt", "sudo update-ca-trust"}},
			{"Take it out again:", []string{"sudo rm /etc/pki/ca-trust/source/anchors/mitm-ca.crt", "sudo update-ca-trust"}},
		}},
		{"macos", "macOS", []step{
			get,
			{"Install it for all users:", []string{"sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain mitm-ca.crt"}},
			{"Or open /ca.cer, add it to a keychain, and set it to “Always Trust” in Keychain Access.", nil},
		}},
		{"windows", "Windows", []step{
			{"In a command prompt, for yourself:", []string{"curl -o mitm-ca.cer " + base + "/ca.cer", "certutil -user -addstore Root mitm-ca.cer"}},
			{"As administrator, for all users:", []string{"certutil -addstore Root mitm-ca.cer"}},
			{"Or open /ca.cer, choose “Install Certificate”, and place it in “Trusted Root Certification Authorities”.", nil},
		}},
		{"android", "Android", []step{
			{"Download /ca.cer. In the settings search for “CA certificate”, install it from the downloads, and compare the fingerprint under “Trusted credentials”, “User”.", nil},
			{"Browsers then trust it. Apps that were made for Android 7 or later trust it only where their network security configuration says so.", nil},
		}},
		{"ios", "iOS, iPadOS", []step{
			{"Open /ca.cer in Safari and allow the profile to be downloaded. Install it under Settings, “Profile Downloaded”.", nil},
			{"Then switch it on under Settings, General, About, “Certificate Trust Settings”: without that step it is installed and not trusted.", nil},
		}},
		{"firefox", "Firefox", []step{
			{"Settings, Privacy & Security, “View Certificates”, “Authorities”, “Import”: choose /ca.pem, and tick that it may identify websites.", nil},
			{"Where the system trusts it already, Firefox does so on Windows and macOS, too, and elsewhere with an enterprise policy.", nil},
		}},
		{"chromium", "Chromium, Chrome on Linux (NSS)", []step{
			get,
			{"They have a database of their own (package libnss3-tools; the first line is for one that is not there yet, and to be left out otherwise):", []string{
				"mkdir -p ~/.pki/nssdb && certutil -d sql:$HOME/.pki/nssdb -N --empty-password",
				"certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n mitm-ca -i mitm-ca.crt",
			}},
			{"Take it out again:", []string{"certutil -d sql:$HOME/.pki/nssdb -D -n mitm-ca"}},
		}},
		{"java", "Java", []step{
			get,
			{"Add it to the Java that is found first:", []string{"sudo keytool -importcert -cacerts -storepass changeit -noprompt -alias mitm-ca -file mitm-ca.crt"}},
			{"Take it out again:", []string{"sudo keytool -delete -cacerts -storepass changeit -alias mitm-ca"}},
		}},
		{"python", "Python", []step{
			get,
			{"For the standard library, and for requests and pip. Each replaces the roots there are, so that only what comes through the proxy verifies:", []string{
				"export SSL_CERT_FILE=$PWD/mitm-ca.crt", "export REQUESTS_CA_BUNDLE=$PWD/mitm-ca.crt",
			}},
		}},
		{"node", "Node.js", []step{
			get,
			{"Besides the roots there are:", []string{"export NODE_EXTRA_CA_CERTS=$PWD/mitm-ca.crt"}},
		}},
		{"curl", "curl", []step{
			get,
			{"For one command, or for all:", []string{"curl --cacert mitm-ca.crt https://example.com/", "export CURL_CA_BUNDLE=$PWD/mitm-ca.crt"}},
		}},
	}
}
