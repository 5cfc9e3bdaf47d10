// A worker in Go: it reserves credits for a call and commits what the call used.
//
//	go -C docs/examples/go run . HOST:PORT ACCOUNT JOB
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	creditmeter "github.com/creditmeter/creditmeter/gen/go/creditmeter/v1"
)

// region README
func meter(ctx context.Context, metering creditmeter.MeteringServiceClient, account, job string) (*creditmeter.Charge, error) {
	work := &creditmeter.Work{Action: "text", RequestModel: "gpt-4o", InputTokens: proto.Int64(8000), MaxOutputTokens: proto.Int64(1000)}
	held, err := metering.Reserve(ctx, &creditmeter.ReserveRequest{
		RequestId: job + "/reserve", AccountId: account, Bound: &creditmeter.ReserveRequest_Work{Work: work}})
	if err != nil {
		return nil, err // the account cannot pay, say: make no call
	}
	used := &creditmeter.Usage{InputTokens: proto.Int64(7420), OutputTokens: proto.Int64(212)} // what the call reported
	done, err := metering.Commit(ctx, &creditmeter.CommitRequest{RequestId: job + "/commit",
		ReservationId: held.GetReservation().GetReservationId(), Cost: &creditmeter.CommitRequest_Usage{Usage: used}})
	return done.GetCharge(), err
}

func reason(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.Reason
		}
	}
	return err.Error() // the sidecar did not answer
}

// endregion

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: go -C docs/examples/go run . HOST:PORT ACCOUNT JOB")
		os.Exit(2)
	}
	connection, err := grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	charge, err := meter(ctx, creditmeter.NewMeteringServiceClient(connection), os.Args[2], os.Args[3])
	if err != nil {
		fmt.Println("refused:", reason(err))
		return
	}
	fmt.Println("charged:", charge.GetCostMicrocredits(), "microcredits")
}
