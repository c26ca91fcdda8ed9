// Writes the rows of the comparison with the Go SDK: record SHAPE ROWS TABLE COMPRESSION.
// It has no upserts. The server is the one of the ODPS_ variables, the rows are those of tests/bench/rows.
package main

import (
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aliyun/aliyun-odps-go-sdk/odps"
	"github.com/aliyun/aliyun-odps-go-sdk/odps/account"
	"github.com/aliyun/aliyun-odps-go-sdk/odps/data"
	"github.com/aliyun/aliyun-odps-go-sdk/odps/tunnel"
)

const firstNullable = 8

func main() {
	if len(os.Args) != 6 || os.Args[1] != "record" {
		log.Fatal("usage: writer record SHAPE ROWS TABLE COMPRESSION")
	}
	rows, err := strconv.Atoi(os.Args[3])
	if err == nil {
		err = write(os.Args[2] == "wide", rows, os.Args[4], os.Args[5])
	}
	if err != nil {
		log.Fatalf("%+v", err)
	}
}

func write(wide bool, rows int, table, compression string) error {
	endpoint := os.Getenv("ODPS_ENDPOINT")
	keys := account.NewAliyunAccount(os.Getenv("ODPS_ACCESS_ID"), os.Getenv("ODPS_ACCESS_KEY"))
	client := odps.NewOdps(keys, endpoint)
	project := os.Getenv("ODPS_PROJECT")
	client.SetDefaultProjectName(project)
	address, err := client.DefaultProject().GetTunnelEndpoint()
	if err != nil {
		return err
	}
	// Its deflate has one level, 6.
	compressor := tunnel.SessionCfg.WithDefaultDeflateCompressor()
	if compression == "snappy" {
		compressor = tunnel.SessionCfg.WithSnappyFramedCompressor()
	}
	service := tunnel.NewTunnel(client, address)
	session, err := service.CreateUploadSession(project, table, compressor)
	if err != nil {
		return err
	}
	writer, err := session.OpenRecordWriter(0)
	if err != nil {
		return err
	}
	pool := makePool(wide)
	record := make(data.Record, len(pool[0])+1)
	for i := 0; i < rows; i++ {
		record[0] = data.BigInt(i)
		copy(record[1:], pool[i%len(pool)])
		if err := writer.Write(record); err != nil {
			return err
		}
	}
	if err := writer.Close(); err != nil {
		return err
	}
	return session.Commit([]int{0})
}

type column = func(h uint64) data.Data

func makePool(wide bool) [][]data.Data {
	columns, size := narrowColumns(), 32768
	if wide {
		columns, size = wideColumns(), 8192
	}
	pool := make([][]data.Data, size)
	for row := range pool {
		pool[row] = make([]data.Data, len(columns))
		for i, column := range columns {
			null := wide && i+1 >= firstNullable && hash(row, i+1+32)%16 == 0
			if !null {
				pool[row][i] = column(hash(row, i+1))
			}
		}
	}
	return pool
}

func narrowColumns() []column {
	prefixed := func(h uint64) data.Data { return data.String("ord-" + hex(h, 16)) }
	return []column{prefixed, status, double, decimal2, timestamp, integer}
}

func wideColumns() []column {
	var columns []column
	for _, length := range []int{8, 12, 16, 20, 24, 32, 40} {
		columns = append(columns, text(length))
	}
	columns = append(columns, status)
	for i := 0; i < 4; i++ {
		columns = append(columns, func(h uint64) data.Data { return data.BigInt(int64(h) >> 24) })
	}
	columns = append(columns, integer, integer, integer,
		func(h uint64) data.Data { return data.SmallInt(h % 30_000) },
		double, double, double, double,
		func(h uint64) data.Data { return data.Float(float32(h%65_536) / 16) },
		decimal2, decimal2,
		func(h uint64) data.Data { return decimal(int64(h%1_000_000_000_000_000)-500_000_000_000_000, 38, 10) },
		func(h uint64) data.Data { return data.Bool(h%2 == 1) },
		func(h uint64) data.Data { return data.Date(time.Unix(int64(19_000+h%1_000)*86_400, 0).UTC()) },
		timestamp, timestamp, text(10))
	return columns
}

// hash is splitmix64 of row and column.
func hash(row, column int) uint64 {
	x := uint64(row)*64 + uint64(column) + 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

func hex(h uint64, length int) string {
	return strings.Repeat(fmt.Sprintf("%016x", h), 3)[:length]
}

func text(length int) column {
	return func(h uint64) data.Data { return data.String(hex(h, length)) }
}

func status(h uint64) data.Data { return data.String(fmt.Sprintf("status-%05d", h%1_000)) }

func integer(h uint64) data.Data { return data.Int(h % 100_000) }

func double(h uint64) data.Data { return data.Double(float64(h%1_000_000_007) / 1000) }

func decimal2(h uint64) data.Data { return decimal(int64(h%10_000_000_000)-5_000_000_000, 18, 2) }

func decimal(unscaled int64, precision, scale int) data.Data {
	sign, digits := "", unscaled
	if unscaled < 0 {
		sign, digits = "-", -unscaled
	}
	padded := fmt.Sprintf("%0*d", scale+1, digits)
	point := len(padded) - scale
	return *data.NewDecimal(precision, scale, sign+padded[:point]+"."+padded[point:])
}

func timestamp(h uint64) data.Data {
	seconds, micros := 1_704_067_200+int64(h%31_536_000), int64(h>>40)%1_000_000
	return data.Timestamp(time.Unix(seconds, micros*1_000).UTC())
}
