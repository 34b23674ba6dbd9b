//! Bytes per row of other layouts and other types, column by column, with a day of 9,999,360 driver reports: as one
//! file of the whole day and as one flush.
//!
//! `cargo run --release --workspace --example sizes -- [drivers]`

mod city;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use drover_history::{FileWriter, Layout, Rows, report_schema, sort_by_key};
use drover_model::Report;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Rows of a flush.
const FLUSH_ROWS: usize = 250_000;
/// Rows given to a writer at once.
const BATCH_ROWS: usize = 8_192;

fn main() {
    let drivers = std::env::args().nth(1).map_or(city::DRIVERS, |text| text.parse().expect("a number of drivers"));
    let schema = report_schema(&[]);
    let (whole, flush) = sorted_days(&schema, drivers);
    let folder = std::env::temp_dir().join(format!("drover-sizes-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
    for (name, rows) in [("whole day", &whole), ("one flush", &flush)] {
        println!("\n{name}: {} rows", rows.num_rows());
        layouts(&folder, &schema, rows);
        types(rows);
    }
    std::fs::remove_dir_all(&folder).expect("the files were made");
}

fn sorted_days(schema: &SchemaRef, drivers: usize) -> (RecordBatch, RecordBatch) {
    let mut rows = Rows::new(schema.clone());
    let mut position = 0;
    city::day(drivers, &mut |records| {
        for record in records {
            position += 1;
            rows.push(position, &Report::decode(&record).expect("the load decodes"), "local");
        }
    });
    let all = rows.finish();
    // A flush holds what came within some minutes, in the middle of the day.
    let middle = all.slice(all.num_rows() / 2, FLUSH_ROWS.min(all.num_rows() / 2));
    (sort_by_key(&all), sort_by_key(&middle))
}

fn layouts(folder: &Path, schema: &SchemaRef, rows: &RecordBatch) {
    let lake = Layout::default();
    let variants = [
        ("the lake's", lake),
        ("zstd 1", Layout { zstd_level: 1, ..lake }),
        ("zstd 3", Layout { zstd_level: 3, ..lake }),
        ("zstd 9", Layout { zstd_level: 9, ..lake }),
        ("pages 1,024", Layout { page_rows: 1_024, ..lake }),
        ("pages 2,048", Layout { page_rows: 2_048, ..lake }),
        ("pages 4,096", Layout { page_rows: 4_096, ..lake }),
        ("pages 8,192", Layout { page_rows: 8_192, ..lake }),
        ("pages 20,000", Layout { page_rows: 20_000, ..lake }),
        ("groups 32,768", Layout { group_rows: 32_768, ..lake }),
        ("groups 131,072", Layout { group_rows: 131_072, ..lake }),
        ("groups 524,288", Layout { group_rows: 524_288, ..lake }),
    ];
    for (name, layout) in variants {
        let started = Instant::now();
        let mut file = FileWriter::create(folder, 20_458, schema, &layout).expect("the folder can be written");
        for at in (0..rows.num_rows()).step_by(BATCH_ROWS) {
            file.write(&rows.slice(at, BATCH_ROWS.min(rows.num_rows() - at))).expect("rows can be written");
        }
        let written = file.finish().expect("the file can be finished");
        let took = started.elapsed().as_secs_f64();
        let per_row = |bytes: u64| bytes as f64 / written.rows as f64;
        println!(
            "{name:16} {:6.2} bytes/row  footer {:6}  {:.2} s  {:.0} rows/s",
            per_row(written.bytes),
            written.footer_bytes,
            took,
            written.rows as f64 / took
        );
        if name == "the lake's" {
            for (field, bytes) in schema.fields().iter().zip(written.column_bytes()) {
                println!("    {:14} {:.3}", field.name(), per_row(bytes));
            }
        }
        std::fs::remove_file(written.path).expect("the file was made");
    }
}

/// One column at a time, as another type with the best encodings for it.
fn types(rows: &RecordBatch) {
    let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    for (column, kinds) in [
        ("event_time", vec![None, Some(micros.clone())]),
        ("receive_time", vec![None, Some(micros)]),
        ("latitude", vec![None, Some(DataType::Float64)]),
        ("longitude", vec![None, Some(DataType::Float64)]),
        ("speed_kmh", vec![None, Some(DataType::Float64)]),
        ("heading_deg", vec![None, Some(DataType::Float64)]),
    ] {
        for kind in kinds {
            let values = rows.column_by_name(column).expect("a column of the table");
            let values = kind.as_ref().map_or_else(|| values.clone(), |kind| cast(values, kind).expect("a cast"));
            for encoding in encodings(values.data_type()) {
                let bytes = alone(column, &values, encoding);
                let per_row = bytes as f64 / rows.num_rows() as f64;
                println!("{column:14} {:34} {encoding:22?} {per_row:6.3}", values.data_type().to_string());
            }
        }
    }
}

/// `None` is the dictionary.
fn encodings(kind: &DataType) -> Vec<Option<Encoding>> {
    match kind {
        DataType::Float64 => vec![Some(Encoding::PLAIN), Some(Encoding::BYTE_STREAM_SPLIT), None],
        _ => vec![Some(Encoding::DELTA_BINARY_PACKED), Some(Encoding::BYTE_STREAM_SPLIT), None],
    }
}

fn alone(name: &str, values: &ArrayRef, encoding: Option<Encoding>) -> usize {
    let schema = Arc::new(Schema::new(vec![Field::new(name, values.data_type().clone(), true)]));
    let mut properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).expect("a level")))
        .set_data_page_row_count_limit(4_096)
        .set_write_batch_size(4_096)
        .set_dictionary_page_size_limit(256 << 10)
        .set_max_row_group_row_count(Some(131_072));
    properties = match encoding {
        Some(encoding) => properties
            .set_column_dictionary_enabled(ColumnPath::from(name), false)
            .set_column_encoding(ColumnPath::from(name), encoding),
        None => properties,
    };
    let mut file = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties.build())).expect("a writer");
    let batch = RecordBatch::try_new(schema, vec![values.clone()]).expect("one column");
    file.write(&batch).expect("memory can be written");
    file.into_inner().expect("the file ends").len()
}
