package mirror

import (
	"bytes"
	"crypto/ecdh"
	"crypto/mlkem"
	"crypto/rand"
	"encoding/binary"
	"math/big"
	"slices"

	"github.com/bridgeio/bridgeio/detect"
	utls "github.com/refraction-networking/utls"
)

// hybrid is X25519MLKEM768, the one hybrid group that utls has. Its share is the ML-KEM one, and then X25519's.
const (
	hybrid      = uint16(utls.X25519MLKEM768)
	mlkemPublic = mlkem.EncapsulationKeySize768
)

// shares are those of a key_share, with their private keys.
type shares struct {
	public  []utls.KeyShare
	byGroup map[uint16]*ecdh.PrivateKey
	mlkem   *utls.KeySharePrivateKeys // of the hybrid share; nil: there is none
	first   *ecdh.PrivateKey
	filled  bool // there is one of a group that is not known here
}

// newKeyShare makes a key_share (RFC 8446 §4.2.8) like the client's with fresh keys. data is well formed.
func (s *spec) newKeyShare(data []byte) (*utls.KeyShareExtension, error) {
	s.shares.byGroup = make(map[uint16]*ecdh.PrivateKey)
	theirs := split(data)
	reused := reusesKey(theirs)
	for _, t := range theirs {
		if s.changes&KnownGroups != 0 && !detect.IsGREASE(t.group) && !isKnownGroup(t.group) {
			continue
		}
		ours, err := s.share(t.group, t.data, reused)
		if err != nil {
			return nil, err
		}
		s.shares.public = append(s.shares.public, utls.KeyShare{Group: utls.CurveID(t.group), Data: ours})
	}
	if err := s.addShares(); err != nil {
		return nil, err
	}
	// utls would make keys for those that are empty, and change GREASE. It gets the true ones after that.
	placeholders := slices.Clone(s.shares.public)
	for i := range placeholders {
		placeholders[i].Data = make([]byte, 2)
	}
	return &utls.KeyShareExtension{KeyShares: placeholders}, nil
}

// reusesKey reports whether X25519's half of the hybrid share is X25519's own share, which some clients have and others
// have not.
func reusesKey(all []share) bool {
	half, own := find(all, hybrid), find(all, uint16(utls.X25519))
	return len(half) > mlkemPublic && bytes.Equal(half[mlkemPublic:], own)
}

func find(all []share, group uint16) []byte {
	i := slices.IndexFunc(all, func(s share) bool { return s.group == group })
	if i < 0 {
		return nil
	}
	return all[i].data
}

// addShares adds the shares that the changes ask for.
func (s *spec) addShares() error {
	if s.changes&HybridShare != 0 && s.shares.mlkem == nil && slices.Contains(s.groups, hybrid) {
		if err := s.addShare(hybrid); err != nil {
			return err
		}
	}
	if s.changes&KnownGroups == 0 || s.shares.first != nil {
		return nil
	}
	i := slices.IndexFunc(s.groups, isKnownGroup)
	if i < 0 {
		return &Unbridgeable{Reason: "no group that is known here"}
	}
	return s.addShare(s.groups[i])
}

// addShare adds one in its place: RFC 8446 §4.2.8 wants the order of supported_groups.
func (s *spec) addShare(group uint16) error {
	data, err := s.share(group, nil, false)
	if err != nil {
		return err
	}
	rank := slices.Index(s.groups, group)
	i := slices.IndexFunc(s.shares.public, func(k utls.KeyShare) bool { return slices.Index(s.groups, uint16(k.Group)) > rank })
	if i < 0 {
		i = len(s.shares.public)
	}
	s.shares.public = slices.Insert(s.shares.public, i, utls.KeyShare{Group: utls.CurveID(group), Data: data})
	return nil
}

type share struct {
	group uint16
	data  []byte
}

// split returns the shares of a key_share.
func split(data []byte) []share {
	var all []share
	for b := data[2:]; len(b) >= 4; {
		n := 4 + int(binary.BigEndian.Uint16(b[2:]))
		all = append(all, share{binary.BigEndian.Uint16(b), b[4:n]})
		b = b[n:]
	}
	return all
}

// share makes the public share of a group, and keeps the private one. One whose group has no meaning here is filled with
// as many bytes as the client's, and so is one that the server must refuse because its length is wrong. like is nil for
// a share that the client has not sent.
func (s *spec) share(group uint16, like []byte, reused bool) ([]byte, error) {
	switch {
	case detect.IsGREASE(group):
		return like, nil
	case !isKnownGroup(group):
		s.shares.filled = true
		return filler(group, len(like)), nil
	case like != nil && len(like) != shareLen(group):
		return filler(group, len(like)), nil
	case group == hybrid:
		return s.hybridShare(reused)
	}
	key, err := s.key(group)
	if err != nil {
		return nil, err
	}
	return key.PublicKey().Bytes(), nil
}

// shareLen is the length of the share of a known group (RFC 8446 §4.2.8.2).
func shareLen(group uint16) int {
	switch utls.CurveID(group) {
	case utls.X25519:
		return 32
	case utls.CurveP256:
		return 1 + 2*32
	case utls.CurveP384:
		return 1 + 2*48
	case utls.CurveP521:
		return 1 + 2*66
	}
	return mlkemPublic + 32
}

// filler stands in for a share that nobody here can make. One of a finite field must be in the right subgroup, which
// OpenSSL and GnuTLS check: they would end the handshake with an alert of theirs rather than choose it, and so say what
// they lack. A square is, whatever the prime of RFC 7919, and one of half as many bits is smaller than the prime.
func filler(group uint16, size int) []byte {
	b := make([]byte, size)
	if group>>8 != 1 { // RFC 7919 §2: ffdhe2048 is 0x0100
		random(b)
		return b
	}
	random(b[:size/2])
	n := new(big.Int).SetBytes(b[:size/2])
	return n.Mul(n, n).FillBytes(b)
}

// key returns the private key of a group, the same each time.
func (s *spec) key(group uint16) (*ecdh.PrivateKey, error) {
	if key, ok := s.shares.byGroup[group]; ok {
		return key, nil
	}
	key, err := curveOf(group).GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	s.shares.byGroup[group] = key
	if s.shares.first == nil {
		s.shares.first = key
	}
	return key, nil
}

func (s *spec) hybridShare(reused bool) ([]byte, error) {
	kem, err := mlkem.GenerateKey768()
	if err != nil {
		return nil, err
	}
	var x *ecdh.PrivateKey
	if reused {
		x, err = s.key(uint16(utls.X25519))
	} else {
		x, err = ecdh.X25519().GenerateKey(rand.Reader)
	}
	if err != nil {
		return nil, err
	}
	if s.shares.first == nil {
		s.shares.first = x
	}
	s.shares.mlkem = &utls.KeySharePrivateKeys{Mlkem: kem, MlkemEcdhe: x}
	return append(kem.EncapsulationKey().Bytes(), x.PublicKey().Bytes()...), nil
}

func isKnownGroup(id uint16) bool { return id == hybrid || curveOf(id) != nil }

func curveOf(group uint16) ecdh.Curve {
	switch utls.CurveID(group) {
	case utls.X25519:
		return ecdh.X25519()
	case utls.CurveP256:
		return ecdh.P256()
	case utls.CurveP384:
		return ecdh.P384()
	case utls.CurveP521:
		return ecdh.P521()
	}
	return nil
}

// keys returns the private keys as utls takes them, for a server that chose group; 0: it has not chosen yet.
func (s *shares) keys(group uint16) *utls.KeySharePrivateKeys {
	k := &utls.KeySharePrivateKeys{Ecdhe: s.first}
	if k.Ecdhe == nil {
		k.Ecdhe, _ = ecdh.X25519().GenerateKey(rand.Reader) // for utls, which wants one until a HelloRetryRequest brings another
	}
	if s.mlkem != nil {
		k.Mlkem, k.MlkemEcdhe = s.mlkem.Mlkem, s.mlkem.MlkemEcdhe
	}
	if key, ok := s.byGroup[group]; ok {
		k.Ecdhe = key
	}
	return k
}
