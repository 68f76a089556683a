// Command kstatus prints the status that Flux and other users of the kstatus library compute for resources: it reads
// objects from standard input, as YAML documents or JSON, and prints one line of JSON with status and message for each.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

type result struct {
	Status  status.Status `json:"status"`
	Message string        `json:"message"`
}

func main() {
	if err := compute(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "kstatus:", err)
		os.Exit(1)
	}
}

func compute(in io.Reader, out io.Writer) error {
	objects := yaml.NewYAMLOrJSONDecoder(in, 4096)
	results := json.NewEncoder(out)
	for {
		object := &unstructured.Unstructured{}
		if err := objects.Decode(object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		computed, err := status.Compute(object)
		if err != nil {
			return err
		}
		if err := results.Encode(result{computed.Status, computed.Message}); err != nil {
			return err
		}
	}
}
