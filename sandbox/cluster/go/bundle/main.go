// Command bundle validates a bundle for OLM with the validators of operator-sdk and OperatorHub: it reads the bundle's folder
// and prints one line of JSON with errors and warnings.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/operator-framework/api/pkg/manifests"
	"github.com/operator-framework/api/pkg/validation"
)

type findings struct {
	Errors   []string `json:"errors"`
	Warnings []string `json:"warnings"`
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: bundle FOLDER")
		os.Exit(2)
	}
	bundle, err := manifests.GetBundleFromDir(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "bundle:", err)
		os.Exit(1)
	}
	validators := validation.DefaultBundleValidators.WithValidators(
		validation.OperatorHubValidator,
		validation.ObjectValidator,
	)
	result := findings{Errors: []string{}, Warnings: []string{}}
	for _, validated := range validators.Validate(bundle.ObjectsToValidate()...) {
		for _, err := range validated.Errors {
			result.Errors = append(result.Errors, err.Error())
		}
		for _, warning := range validated.Warnings {
			result.Warnings = append(result.Warnings, warning.Error())
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		fmt.Fprintln(os.Stderr, "bundle:", err)
		os.Exit(1)
	}
}
