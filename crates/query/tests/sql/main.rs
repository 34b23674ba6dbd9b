//! SQL over history. One program for all of its tests: DataFusion is dear to link, and dearer eight times.

mod answers;
mod damage;
mod documentation;
mod functions;
mod lake;
mod limits;
mod refused;
mod running;
mod sees;
mod shapes;
