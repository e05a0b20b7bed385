// Prints, as JSON, how Kubernetes' protobuf encoding numbers the fields of the kinds that the embedded API server
// serves. OpenAPI does not say it, and kubectl sends some objects in that encoding. It is read from the struct tags
// of the real types:
//
//	go run . < group-version-kinds.txt > protobuf.json     (scripts/update_schemas.py --protobuf does that)
//
// Input: one kind a line, "GROUP VERSION KIND", the core group as "-". Output: {"kinds": {"apps/v1 Deployment":
// "k8s.io/api/apps/v1.Deployment", ...}, "messages": {NAME: [[number, JSON name, type, kept], ...]}}. A type is a
// word (string, bytes, int, bool, double, time, quantity, int-or-string, raw), [NAME] for a message, {"list": T},
// {"map": T}. An empty JSON name says that the message's fields are written in place. `kept` is 1 where Go's JSON
// writes out an empty value (a pointer to one, or a field without omitempty) and 0 where it leaves the field out.
// A fifth element is the Go type, where it is a named string (v1.Protocol, []v1.PolicyType).
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/kubernetes/scheme"
)

var words = map[string]string{
	"k8s.io/apimachinery/pkg/apis/meta/v1.Time":       "time",
	"k8s.io/apimachinery/pkg/apis/meta/v1.MicroTime":  "time",
	"k8s.io/apimachinery/pkg/apis/meta/v1.FieldsV1":   "raw",
	"k8s.io/apimachinery/pkg/api/resource.Quantity":   "quantity",
	"k8s.io/apimachinery/pkg/util/intstr.IntOrString": "int-or-string",
	"k8s.io/apimachinery/pkg/runtime.RawExtension":    "raw",
	// What a JSON schema holds as it is; nobody sends these in the encoding.
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSON":                         "raw",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrArray":       "raw",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrBool":        "raw",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrStringArray": "raw",
}

var messages = map[string][]any{}

func name(t reflect.Type) string { return t.PkgPath() + "." + t.Name() }

func describe(t reflect.Type) any {
	if word, ok := words[name(t)]; ok {
		return word
	}
	switch t.Kind() {
	case reflect.Pointer:
		return describe(t.Elem())
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "bool"
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint32, reflect.Uint8, reflect.Uint16, reflect.Uint64:
		return "int"
	case reflect.Float64, reflect.Float32:
		return "double"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
		if t.Name() != "" { // a named list is a message with one field, items
			messages[name(t)] = []any{[]any{1, "", map[string]any{"list": describe(t.Elem())}, 1}}
			return []any{name(t)}
		}
		return map[string]any{"list": describe(t.Elem())}
	case reflect.Map:
		return map[string]any{"map": describe(t.Elem())}
	case reflect.Struct:
		visit(t)
		return []any{name(t)}
	}
	panic(fmt.Sprint("no word for ", t))
}

// named tells a string type with a name of its own (v1.Protocol), or a list of one.
func named(t reflect.Type) bool {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t.Kind() == reflect.String && t.PkgPath() != ""
}

func visit(t reflect.Type) {
	if _, seen := messages[name(t)]; seen {
		return
	}
	messages[name(t)] = nil
	fields := []any{}
	for i := 0; i < t.NumField(); i++ {
		field := t.Field(i)
		tag := strings.Split(field.Tag.Get("protobuf"), ",")
		if len(tag) < 2 {
			continue
		}
		number, err := strconv.Atoi(tag[1])
		if err != nil {
			panic(err)
		}
		jsonName := strings.Split(field.Tag.Get("json"), ",")[0]
		if jsonName == "-" {
			continue
		}
		kept := 0
		if field.Type.Kind() == reflect.Pointer || !strings.Contains(field.Tag.Get("json"), ",omitempty") {
			kept = 1
		}
		entry := []any{number, jsonName, describe(field.Type), kept}
		if plain := strings.TrimPrefix(field.Type.String(), "*"); named(field.Type) {
			entry = append(entry, plain)
		}
		fields = append(fields, entry)
	}
	messages[name(t)] = fields
}

func main() {
	utilruntime.Must(apiextensions.AddToScheme(scheme.Scheme))
	kinds := map[string]string{}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		parts := strings.Fields(lines.Text())
		group := strings.TrimPrefix(parts[0], "-")
		gvk := schema.GroupVersionKind{Group: group, Version: parts[1], Kind: parts[2]}
		object, err := scheme.Scheme.New(gvk)
		if err != nil {
			continue // options of streams and the like have no body
		}
		t := reflect.TypeOf(object).Elem()
		visit(t)
		kinds[gvk.GroupVersion().String()+" "+gvk.Kind] = name(t)
	}
	if err := json.NewEncoder(os.Stdout).Encode(map[string]any{"kinds": kinds, "messages": messages}); err != nil {
		panic(err)
	}
}
