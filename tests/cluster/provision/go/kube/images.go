package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	runtimeSocket   = "unix:///run/containerd/containerd.sock"
	runtimePatience = 10 * time.Second
)

// queryImages answers as crictl does, for the two subcommands that kind runs in a node: it asks
// with `inspecti` whether an image is loaded already, and lists `images` when it exports logs.
func queryImages() error {
	connection, err := grpc.NewClient(
		runtimeSocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), runtimePatience)
	defer cancel()

	images := cri.NewImageServiceClient(connection)
	switch arguments := os.Args[1:]; {
	case len(arguments) == 1 && arguments[0] == "images":
		return listImages(ctx, images)
	case len(arguments) == 2 && arguments[0] == "inspecti":
		return inspectImage(ctx, images, arguments[1])
	}
	return errors.New("of crictl's subcommands there are only `inspecti IMAGE` and `images`")
}

func listImages(ctx context.Context, service cri.ImageServiceClient) error {
	answer, err := service.ListImages(ctx, &cri.ListImagesRequest{})
	if err != nil {
		return err
	}
	for _, image := range answer.Images {
		fmt.Printf("%v\t%s\t%d\n", image.RepoTags, image.Id, image.Size)
	}
	return nil
}

func inspectImage(ctx context.Context, service cri.ImageServiceClient, name string) error {
	request := &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: name}}
	answer, err := service.ImageStatus(ctx, request)
	if err != nil {
		return err
	}
	if answer.Image == nil {
		return fmt.Errorf("no such image %q present", name)
	}
	// kind reads status.id and nothing else.
	status := map[string]any{"id": answer.Image.Id, "repoTags": answer.Image.RepoTags}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"status": status})
}
