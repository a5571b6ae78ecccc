// Package remote has one host send packets for another that measures: a Server on
// the generator host, driven by a Client on the device under test, over HTTPS.
//
// The server makes a certificate and a token when it starts. Its Key holds the
// certificate's fingerprint and the token, and is all that a client needs: the
// client talks to that certificate alone, and the server to who has the token.
//
// Invariant: a request is bounded in packets and time, one is served at a time, and
// sending ends with the request's connection.
package remote
