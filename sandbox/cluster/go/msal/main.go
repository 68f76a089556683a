// Command msal gets a token by client credentials with MSAL for Go and prints the result as one line of JSON. The
// certificate authority to trust is in SSL_CERT_FILE, the client secret in AZURE_CLIENT_SECRET.
//
//	msal AUTHORITY CLIENT_ID SCOPE
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
)

type result struct {
	AccessToken string    `json:"accessToken"`
	ExpiresOn   time.Time `json:"expiresOn"`
	Cached      bool      `json:"cached"`
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: msal AUTHORITY CLIENT_ID SCOPE")
		os.Exit(2)
	}
	if err := acquire(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "msal:", err)
		os.Exit(1)
	}
}

func acquire(authority, clientID, scope string) error {
	credential, err := confidential.NewCredFromSecret(os.Getenv("AZURE_CLIENT_SECRET"))
	if err != nil {
		return err
	}
	client, err := confidential.New(authority, clientID, credential, confidential.WithInstanceDiscovery(false))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	first, err := client.AcquireTokenByCredential(ctx, []string{scope})
	if err != nil {
		return err
	}
	second, err := client.AcquireTokenByCredential(ctx, []string{scope}) // from the cache
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result{
		AccessToken: first.AccessToken,
		ExpiresOn:   first.ExpiresOn,
		Cached:      second.AccessToken == first.AccessToken,
	})
}
